"""What a teacher thinks of given completions: its K most likely tokens a position, and KL to them.

At a position where the teacher says p and the student q (arXiv 2605.06241, Eq. 4), all tokens but the teacher's K
counted as one,

    KL(p || q) = sum over the teacher's K of  p_k log(p_k / q_k)  +  p_rest log(p_rest / q_rest)

Counting the rest as one token can only lower a KL, by what the two differ within it; with K = V there
is no rest. The gradient with respect to the student's logits z is

    dKL / dz_v = q_v - p_v                            of the teacher's K
                 q_v - p_rest q_v / q_rest            of any other token

so that, as in `method/loss.py`, each chunk of positions goes through the head once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from reasonmaxxer.artifacts import schema
from reasonmaxxer.models.score import Head, head_loss, score_sequences
from reasonmaxxer.models.states import Tokens

_NUMBERS = pa.list_(pa.float32())
SCHEMA = schema({"top_ids": pa.list_(pa.int32()), "top_logprobs": _NUMBERS, "rest_logprob": _NUMBERS})


class Opinions(NamedTuple):
    """What a teacher thinks at N positions; raw distributions, nats.

    Attributes:
        ids_NK: its K most likely tokens, likeliest first, int32.
        logprob_NK: their log-probabilities, float32.
        rest_N: log-probability of all other tokens together, float32; minus infinity of none.
    """

    ids_NK: Tensor
    logprob_NK: Tensor
    rest_N: Tensor

    def at(self, positions: slice) -> Opinions:
        """Those of some of the positions."""
        return Opinions(*(column[positions] for column in self))


def joined(opinions: Sequence[Opinions]) -> Opinions:
    """Opinions of several runs of positions, one after the other."""
    return Opinions(*(torch.cat(column) for column in zip(*opinions, strict=True)))


def distillation_loss(
    head: Head,
    hidden_ND: Tensor,
    teacher: Opinions,
    weight_N: Tensor,
    trained: Sequence[Tensor] = (),
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of KL(teacher || student) over N positions (arXiv 2605.06241, Eq. 4).

    Args:
        head: the student's output head.
        hidden_ND: its final hidden states.
        teacher: at the same positions.
        weight_N: share of the loss: 1 / (positions of the completion x sequences).
        trained: weights of the head that learn, those of an adapter on it.
        chunk: positions at once; none fits `Sizes.logit_bytes`.

    Returns:
        The loss, a float32 scalar with gradient, and each KL in nats, float32 [N].
    """

    def term(at: slice, logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score_NV = logits_NV.float().log_softmax(-1)
        kl_N, own_NK, excess_N = _compare(score_NV, teacher.at(at))
        slope_NV = _slope(score_NV, own_NK, excess_N, teacher.at(at)).mul_(weight_N[at, None])
        return slope_NV, kl_N * weight_N[at], kl_N

    return head_loss(head, hidden_ND, term, trained=trained, chunk=chunk)


def teacher_opinions(
    sequences: Sequence[Tokens], model: Any, top: int, on_scored: Callable[[int], None] | None = None
) -> list[Opinions]:
    """Opinions of each completion, by one forward of the teacher as it stands.

    Args:
        sequences: any number, in any order.
        model: the teacher; put into eval mode.
        top: most likely tokens kept a position; all of a smaller vocabulary.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        One a sequence, of as many positions as its completion has tokens, in main memory.
    """
    found = score_sequences(partial(_opinions, top=top), sequences, model, on_scored)
    return [Opinions(*columns) for columns in found]


def mean_kl(
    sequences: Sequence[Tokens],
    opinions: Sequence[Opinions],
    model: Any,
    on_scored: Callable[[int], None] | None = None,
) -> np.ndarray:
    """KL(teacher || model) in nats, the mean over each completion (arXiv 2605.06241, Eq. 4).

    Args:
        sequences: what the teacher has read.
        opinions: the teacher's, of each.
        model: as it stands, with an adapter or without; put into eval mode.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        One number a sequence, float64.
    """
    found = score_sequences(_kl, sequences, model, on_scored, given=opinions)
    return np.array([kl_T.double().mean().item() for (kl_T,) in found])


def opinion_table(opinions: Sequence[Opinions]) -> pa.Table:
    """One row a completion: of T tokens, T x K ids and log-probabilities, and T of the rest."""
    rows = [[column.flatten().numpy() for column in own] for own in opinions]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


def opinions_from_table(table: pa.Table) -> list[Opinions]:
    """Opinions back from a table."""
    columns = ([torch.from_numpy(row.values.to_numpy().copy()) for row in table[name]] for name in SCHEMA.names)
    return [
        Opinions(ids.view(len(rest), -1), logprobs.view(len(rest), -1), rest)
        for ids, logprobs, rest in zip(*columns, strict=True)
    ]


def _opinions(logits_NV: Tensor, *_: Tensor, top: int) -> tuple[Tensor, ...]:
    score_NV = logits_NV.log_softmax(-1)
    logprob_NK, ids_NK = score_NV.topk(min(top, score_NV.shape[-1]), dim=-1)
    return ids_NK.int(), logprob_NK, _rest(score_NV, ids_NK)


def _kl(logits_NV: Tensor, *teacher: Tensor) -> tuple[Tensor]:
    return (_compare(logits_NV.log_softmax(-1), Opinions(*teacher))[0],)


def _rest(score_NV: Tensor, ids_NK: Tensor) -> Tensor:
    """Log-probability of all tokens but some; one less those would keep no digit of a small rest."""
    return score_NV.scatter(-1, ids_NK, -torch.inf).logsumexp(-1)


def _compare(score_NV: Tensor, teacher: Opinions) -> tuple[Tensor, Tensor, Tensor]:
    """KL [N], the student's log-probabilities of the teacher's K [N, K], and log(p_rest / q_rest) [N]."""
    ids_NK = teacher.ids_NK.long()
    own_NK, rest_N = score_NV.gather(-1, ids_NK), _rest(score_NV, ids_NK)
    none_N = teacher.rest_N.isneginf() & rest_N.isneginf()
    excess_N = (teacher.rest_N - rest_N).masked_fill(none_N, -torch.inf)
    kl_N = _expected(teacher.logprob_NK, teacher.logprob_NK - own_NK).sum(-1)
    return kl_N + _expected(teacher.rest_N, excess_N), own_NK, excess_N


def _expected(logprob: Tensor, value: Tensor) -> Tensor:
    """Values by their probabilities; what is impossible counts nothing, infinite or not."""
    return (logprob.exp() * value).masked_fill(logprob.isneginf(), 0.0)


def _slope(score_NV: Tensor, own_NK: Tensor, excess_N: Tensor, teacher: Opinions) -> Tensor:
    """Derivative of each KL by the student's logits [N, V]; overwrites the scores.

    A token of the rest has p_rest q_v / q_rest as one exponential: q_rest alone may be too small.
    """
    pulled_NV = (score_NV + excess_N[:, None]).exp_()
    slope_NV = score_NV.exp_().sub_(pulled_NV)
    return slope_NV.scatter_(-1, teacher.ids_NK.long(), own_NK.exp() - teacher.logprob_NK.exp())
