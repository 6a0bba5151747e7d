"""KL to a teacher of whom the K most likely tokens are kept, and all others as one.

At a position where the teacher says p and the student q (arXiv 2605.06241, Eq. 4),

    KL(p || q) = sum over the teacher's K of  p_k log(p_k / q_k)  +  p_rest log(p_rest / q_rest)

Counting the rest as one token can only lower a KL, by what the two differ within it; with K = V there
is no rest. The gradient with respect to the student's logits z is

    dKL / dz_v = q_v - p_v                            of the teacher's K
                 q_v - p_rest q_v / q_rest            of any other token

so that, as in `training.loss`, each chunk of positions goes through the head once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.method.loss import Head, head_chunks, leaf_logits, score_parts


@dataclass(frozen=True)
class Opinions:
    """What a teacher thinks at N positions; raw distributions, nats.

    Attributes:
        ids_NK: its K most likely tokens, likeliest first, int32.
        logprob_NK: their log-probabilities, float32.
        rest_N: log-probability of all other tokens together, float32; minus infinity of none.
    """

    ids_NK: Tensor
    logprob_NK: Tensor
    rest_N: Tensor

    def __len__(self) -> int:
        return len(self.rest_N)

    def __getitem__(self, at: slice) -> Opinions:
        """Those of some of the positions."""
        return Opinions(self.ids_NK[at], self.logprob_NK[at], self.rest_N[at])

    def split(self, sizes: Sequence[int]) -> list[Opinions]:
        """Those of each of several runs of positions, copied."""
        columns = (self.ids_NK, self.logprob_NK, self.rest_N)
        parts = zip(*(torch.split(column, list(sizes)) for column in columns), strict=True)
        return [Opinions(*(column.clone() for column in part)) for part in parts]

    def to(self, device: Any) -> Opinions:
        """The same on a device."""
        return Opinions(self.ids_NK.to(device), self.logprob_NK.to(device), self.rest_N.to(device))


def joined(opinions: Sequence[Opinions]) -> Opinions:
    """Opinions of several runs of positions, one after the other."""
    columns = zip(*((o.ids_NK, o.logprob_NK, o.rest_N) for o in opinions), strict=True)
    return Opinions(*(torch.cat(column) for column in columns))


def opinions_of(head: Head, hidden_ND: Tensor, top: int) -> Opinions:
    """The teacher's opinions, from its final hidden states.

    Args:
        head: its output head.
        hidden_ND: states that predict the tokens of N positions.
        top: K; all of a smaller vocabulary.
    """
    parts = [
        _opinions(logits_NV[part].float().log_softmax(-1), top)
        for rows in head_chunks(hidden_ND, head)
        for logits_NV in [head(hidden_ND[rows])]
        for part in score_parts(logits_NV)
    ]
    return joined(parts)


def student_kl(head: Head, hidden_ND: Tensor, teacher: Opinions) -> Tensor:
    """KL(teacher || student) in nats at N positions (arXiv 2605.06241, Eq. 4), float32 [N], no gradient.

    Args:
        head: the student's output head.
        hidden_ND: its final hidden states.
        teacher: at the same positions.
    """
    kl_N = torch.empty(len(hidden_ND), device=hidden_ND.device)
    for rows in head_chunks(hidden_ND, head):
        logits_NV = head(hidden_ND[rows])
        for part in score_parts(logits_NV):
            at = slice(rows.start + part.start, rows.start + part.stop)
            kl_N[at] = _compare(logits_NV[part].float().log_softmax(-1), teacher[at])[0]
    return kl_N


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
        chunk: positions at once; none fits `CHUNK_BYTES` of the losses of training.

    Returns:
        The loss, a float32 scalar with gradient, and each KL in nats, float32 [N].
    """
    return _DistillationLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
        hidden_ND, weight_N, head, teacher, chunk, *trained
    )


class _DistillationLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_N: Tensor,
        head: Head,
        teacher: Opinions,
        chunk: int | None,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor]:
        gradient_ND, kl_N = torch.empty_like(hidden_ND), torch.empty_like(weight_N)
        totals = [torch.zeros_like(weight) for weight in trained]
        for rows in head_chunks(hidden_ND, head, chunk):
            state, logits = leaf_logits(head, hidden_ND[rows])
            slope = torch.empty_like(logits)
            for part in score_parts(logits):
                at = slice(rows.start + part.start, rows.start + part.stop)
                scores = logits.detach()[part].float().log_softmax(-1)
                kl_N[at], own, excess = _compare(scores, teacher[at])
                slope[part] = _slope(scores, own, excess, teacher[at]).mul_(weight_N[at, None])
            gradient_ND[rows], *parts = torch.autograd.grad(logits, [state, *trained], slope)
            for total, gradient in zip(totals, parts, strict=True):
                total += gradient
        ctx.save_for_backward(gradient_ND, *totals)
        ctx.mark_non_differentiable(kl_N)
        return (kl_N * weight_N).sum(), kl_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        own, *trained = (g * gradients[0].to(g.dtype) for g in ctx.saved_tensors)
        return own, *[None] * 4, *trained


def _opinions(score_NV: Tensor, top: int) -> Opinions:
    logprob_NK, ids_NK = score_NV.topk(min(top, score_NV.shape[-1]), dim=-1)
    return Opinions(ids_NK.int(), logprob_NK, _rest(score_NV, ids_NK))


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
