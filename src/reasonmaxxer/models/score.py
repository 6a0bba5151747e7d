"""Every number that is formed of logits: final hidden states go through the output head a chunk at a time.

Hidden states are D numbers a position where logits are V, so only hidden states of all positions are kept. A chunk of
positions is one product with the head (`Sizes.logit_bytes`), its float32 statistics are formed a few rows at a time
(`Sizes.statistics`), and nothing of size [positions, V] outlives it. The losses, the entropies of imported rollouts,
the microscope and distillation differ only in the function that they hand to one of the two loops here:
`over_positions` for numbers, `head_loss` for numbers with a gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models.cpu.frozen import frozen
from reasonmaxxer.models.head import OutputHead
from reasonmaxxer.models.sizes import sizes
from reasonmaxxer.models.states import Tokens, state_batches, token_count

IMPOSSIBLE = 1e4
"""Nats below the most likely token; stands for a logit of minus infinity."""

Head = Callable[[Tensor], Tensor]
"""Turns final hidden states [N, D] into logits [N, V]."""
Term = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""Called with a slice of the positions and their logits [M, V], of each of the states; returns the slope [M, V] of its
sum by the first logits, the term [M], and a number [M] to record."""


def over_positions(
    numbers: Callable[..., tuple[Tensor, ...]], heads: Sequence[Head], states: Sequence[Tensor], *given: Tensor
) -> list[Tensor]:
    """Form numbers of the logits of N positions.

    Args:
        numbers: called with float32 logits [M, V] of each head and M rows of each of `given`.
        heads: one or several, of one vocabulary.
        states: final hidden states [N, D] for each head, wherever they are; each head has its own D.
        *given: what else the function needs, [N, ...].

    Returns:
        What the function returns, over all N positions, on the first head's device.
    """
    parts = []
    for rows in _chunks(heads[0], states[0]):
        logits = [head(own_ND[rows]) for head, own_ND in zip(heads, states, strict=True)]
        device = logits[0].device
        for part in _parts(logits[0]):
            at = _within(rows, part)
            own = (column[at].to(device) for column in given)
            parts.append(numbers(*(logits_NV[part].float() for logits_NV in logits), *own))
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def head_loss(
    head: Head,
    hidden_ND: Tensor,
    term: Term,
    others: Sequence[Tensor] = (),
    trained: Sequence[Tensor] = (),
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum of a term over N positions, differentiable by hidden states, and by weights of the head.

    Each chunk goes through the head once: its logits give the term and, at the same time, the gradient of its hidden
    states, because the term brings its own slope with respect to the logits.

    Args:
        head: the output head.
        hidden_ND: final hidden states that learn.
        term: of a part of the positions.
        others: further hidden states [N, D] through the same head, which do not learn.
        trained: weights of the head that learn, those of an adapter on it.
        chunk: positions at once; none fits `Sizes.logit_bytes`.

    Returns:
        The sum, a float32 scalar with gradient, and the numbers that the term records, [N].
    """
    return _HeadLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
        hidden_ND, head, term, others, chunk, *trained
    )


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head: Head,
        term: Term,
        others: Sequence[Tensor],
        chunk: int | None,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor]:
        gradient_ND = torch.empty_like(hidden_ND)
        totals = [torch.zeros_like(weight) for weight in trained]
        numbers = []
        for rows in _chunks(head, hidden_ND, chunk):
            fixed = [head(other_ND[rows]) for other_ND in others]
            with torch.enable_grad():
                leaf_MD = hidden_ND[rows].detach().requires_grad_()
                logits_MV = head(leaf_MD)
            slope_MV = torch.empty_like(logits_MV)
            for part in _parts(logits_MV):
                logits = (own[part] for own in (logits_MV.detach(), *fixed))
                slope_MV[part], *own = term(_within(rows, part), *logits)
                numbers.append(own)
            gradient_ND[rows], *gradients = torch.autograd.grad(logits_MV, [leaf_MD, *trained], slope_MV)
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient
        ctx.save_for_backward(gradient_ND, *totals)
        term_N, recorded_N = (torch.cat(column) for column in zip(*numbers, strict=True))
        ctx.mark_non_differentiable(recorded_N)
        return term_N.sum(), recorded_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, *trained = (g * gradients[0].to(g.dtype) for g in ctx.saved_tensors)
        return hidden, *[None] * 4, *trained


def _chunks(head: Head, hidden_ND: Tensor, chunk: int | None = None) -> Iterator[slice]:
    """Positions that go through the head together; of none, one empty chunk."""
    if chunk is None:
        empty_0V = head(hidden_ND[:0])
        row_bytes = empty_0V.element_size() * empty_0V.shape[-1]
        chunk = max(1, sizes(empty_0V.device.type).logit_bytes // row_bytes)
    for start in range(0, max(1, len(hidden_ND)), chunk):
        yield slice(start, start + chunk)


def _parts(logits_NV: Tensor) -> Iterator[slice]:
    """Positions of a chunk whose statistics are formed together; of none, one empty part."""
    few = max(1, sizes(logits_NV.device.type).statistics // logits_NV.shape[-1])
    for start in range(0, max(1, len(logits_NV)), few):
        yield slice(start, min(start + few, len(logits_NV)))


def _within(rows: slice, part: slice) -> slice:
    """Where the part of a chunk lies among all positions."""
    return slice(rows.start + part.start, rows.start + part.stop)


@torch.inference_mode()
def score_sequences(
    numbers: Callable[..., tuple[Tensor, ...]],
    sequences: Sequence[Tokens],
    model: Any,
    on_scored: Callable[[int], None] | None = None,
    given: Sequence[Sequence[Tensor]] | None = None,
) -> list[tuple[Tensor, ...]]:
    """Form numbers of the logits before each token of given completions, by one forward of the model as it stands.

    Args:
        numbers: called with float32 logits [M, V] and M rows of each given column.
        sequences: any number, in any order.
        model: a causal LM, PEFT-wrapped or not, its adapter on or off; put into eval mode.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.
        given: columns [T, ...] of each sequence; none is the ids of its completion.

    Returns:
        Columns [T, ...] of each completion of T tokens, in main memory, in the order of the sequences.
    """
    scored: dict[int, tuple[Tensor, ...]] = {}
    head = OutputHead(model)
    if given is None:
        given = [[torch.tensor(sequence.completion_ids, dtype=torch.long)] for sequence in sequences]
    with frozen(model):
        for batch, hidden_ND in state_batches(sequences, model):
            columns = [torch.cat(column) for column in zip(*(given[i] for i in batch), strict=True)]
            found = over_positions(numbers, [head], [hidden_ND], *columns)
            lengths = [len(sequences[i].completion_ids) for i in batch]
            for index, *own in zip(batch, *(torch.split(column.cpu(), lengths) for column in found), strict=True):
                scored[index] = tuple(own)
                if on_scored:
                    on_scored(token_count(sequences[index]))
    return [scored[i] for i in range(len(sequences))]


def entropy_and_logprob(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of each row and log-probability of each id, in nats, both float32 [N].

    `H = -sum_v p(v) log p(v)` over the whole vocabulary (arXiv 2605.06241, Eq. 2).
    """
    shifted_NV = shifted(logits_NV.float())
    entropy_N, normaliser_N1, _ = entropy(shifted_NV)
    return entropy_N, (shifted_NV.gather(-1, ids_N[:, None]) - normaliser_N1).squeeze(-1)


def shifted(logits_NV: Tensor) -> Tensor:
    """Logits less each row's maximum; impossible tokens get a number whose exponential is zero."""
    return (logits_NV - logits_NV.amax(-1, keepdim=True)).clamp_(min=-IMPOSSIBLE)


def entropy(shifted_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Entropy [N], log of the sum of exponentials [N, 1], and a buffer [N, V] free to use, of `shifted` logits."""
    weight_NV = shifted_NV.exp()
    total_N = weight_NV.sum(-1)
    mean_N = torch.linalg.vecdot(weight_NV, shifted_NV) / total_N
    normaliser_N = total_N.log()
    return (normaliser_N - mean_N).clamp_min(0), normaliser_N[:, None], weight_NV


def rank_of(logits_NV: Tensor, ids_N: Tensor) -> Tensor:
    """Place of each id, from 1, most likely first and of equals the lowest id first, int32 [N]."""
    own_N1 = logits_NV.gather(-1, ids_N[:, None])
    before_N = (logits_NV > own_N1).sum(-1, dtype=torch.int32)
    equal_NV = logits_NV == own_N1
    tied = (equal_NV.sum(-1, dtype=torch.int32) > 1).nonzero().flatten()
    if len(tied):
        lower_NV = torch.arange(logits_NV.shape[-1], device=ids_N.device) < ids_N[tied, None]
        before_N[tied] += (equal_NV[tied] & lower_NV).sum(-1, dtype=torch.int32)
    return before_N + 1


def ordered_top(logits_NV: Tensor, count: int) -> Tensor:
    """Ids of the `count` most likely tokens (all of a smaller vocabulary), of equals the lowest id
    first, int64 [N, K]."""
    count = min(count, logits_NV.shape[-1])
    top_NK, ids_NK = logits_NV.topk(count, dim=-1)
    # topk promises no order among equals; where one of them was left out, sort whole rows
    tied_N = (top_NK[:, 1:] == top_NK[:, :-1]).any(-1)
    tied_N |= (logits_NV == top_NK[:, -1:]).sum(-1, dtype=torch.int32) > 1
    tied = tied_N.nonzero().flatten()
    if len(tied):
        ordered = logits_NV[tied].sort(descending=True, stable=True).indices
        ids_NK[tied] = ordered[:, :count]
    return ids_NK
