"""The ReasonMaxxer loss, from hidden states, without ever holding the logits of a batch.

Each sequence weighs the same (arXiv 2605.06241, Eq. 6 and 7):

    L = mean over decision points of  -A log p_theta(x_t | x_<t)
      + lambda * mean over all other positions of  KL(p_base || p_theta)

Both terms have simple gradients with respect to the logits z of p_theta,

    d(-A log p(x)) / dz = A (p - onehot(x)),        d KL(p_base || p) / dz = p - p_base,

so each chunk of positions goes through the output head once: its logits give the loss and, at the
same time, the gradient of its hidden states. Nothing of size [positions, V] outlives its chunk, and
in float32 only a few rows of it exist at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from reasonmaxxer.models.head import at_once

CHUNK_BYTES = 32 * 2**20
"""Logits held at once on a CPU, in the weights' type: enough rows for a fast product with the head."""

SCORE_NUMBERS = 2**20
"""Logits turned into float32 statistics at once, so that they stay in a CPU's cache."""


class Head(Protocol):
    """Turns final hidden states [N, D] into logits [N, V]."""

    def __call__(self, hidden_ND: Tensor, /) -> Tensor:
        """Logits of each row."""
        ...


@dataclass(frozen=True)
class Decisions:
    """Decision points of a batch, N of them, flattened.

    Attributes:
        hidden_ND: hidden state that predicts each decision token.
        target_N: the sampled token, int64.
        advantage_N: advantage of its rollout.
        weight_N: its share of the loss: 1 / (decision points of its sequence x sequences).
    """

    hidden_ND: Tensor
    target_N: Tensor
    advantage_N: Tensor
    weight_N: Tensor


@dataclass(frozen=True)
class Anchors:
    """All other valid positions of a batch, N of them, flattened.

    Attributes:
        hidden_ND: hidden state of the adapted model.
        base_hidden_ND: hidden state of the base at the same place.
        weight_N: its share of the loss: lambda / (anchors of its sequence x sequences).
    """

    hidden_ND: Tensor
    base_hidden_ND: Tensor
    weight_N: Tensor


def decision_loss(
    head: Head, decisions: Decisions, negative_floor: float, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of `-A log p(x)` over decision points (arXiv 2605.06241, Eq. 6).

    Where A < 0, `log p` stops at `log(negative_floor)`: a token the model already finds less likely
    than that is pushed no further. Zero is the paper's unbounded form.

    Args:
        head: the output head, its weights frozen.
        decisions: the positions.
        negative_floor: probability in [0, 1).
        chunk: positions at once; none fits `CHUNK_BYTES`, on an accelerator more.

    Returns:
        The loss, a float32 scalar with gradient, and `log p` of each target in nats, float32 [N].
    """
    d = decisions
    floor = math.log(negative_floor) if negative_floor > 0 else -math.inf
    return _DecisionLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
        d.hidden_ND, d.target_N, d.advantage_N, d.weight_N, head, floor, chunk
    )


def anchor_loss(head: Head, anchors: Anchors, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Weighted sum of `KL(p_base || p_theta)` over anchor positions (arXiv 2605.06241, Eq. 7).

    Args:
        head: the output head, its weights frozen, the same for base and adapted model.
        anchors: the positions.
        chunk: positions at once; none fits `CHUNK_BYTES`, on an accelerator more.

    Returns:
        The loss, a float32 scalar with gradient, and each KL in nats, float32 [N].
    """
    return _AnchorLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
        anchors.hidden_ND, anchors.base_hidden_ND, anchors.weight_N, head, chunk
    )


class _DecisionLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        target_N: Tensor,
        advantage_N: Tensor,
        weight_N: Tensor,
        head: Head,
        floor: float,
        chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        gradient_ND = torch.empty_like(hidden_ND)
        logprob_N, loss_N = torch.empty_like(weight_N), torch.empty_like(weight_N)
        for rows in head_chunks(hidden_ND, head, chunk):
            state, logits = leaf_logits(head, hidden_ND[rows])
            slope = torch.empty_like(logits)
            for part in score_parts(logits):
                at = slice(rows.start + part.start, rows.start + part.stop)
                scores = logits.detach()[part].log_softmax(-1, dtype=torch.float32)
                target, advantage = target_N[at, None], advantage_N[at]
                logprob = scores.gather(-1, target).squeeze(-1)
                floored = (advantage < 0) & (logprob < floor)
                push = (advantage * weight_N[at]).masked_fill(floored, 0.0)[:, None]
                slope[part] = scores.exp_().mul_(push).scatter_add_(-1, target, -push)
                logprob_N[at] = logprob
                loss_N[at] = -advantage * logprob.masked_fill(floored, floor) * weight_N[at]
            (gradient_ND[rows],) = torch.autograd.grad(logits, state, slope)
        ctx.save_for_backward(gradient_ND)
        ctx.mark_non_differentiable(logprob_N)
        return loss_N.sum(), logprob_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_ND,) = ctx.saved_tensors
        return gradient_ND * gradients[0].to(gradient_ND.dtype), *[None] * 6


class _AnchorLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, base_hidden_ND: Tensor, weight_N: Tensor, head: Head, chunk: int | None
    ) -> tuple[Tensor, Tensor]:
        gradient_ND = torch.empty_like(hidden_ND)
        kl_N = torch.empty_like(weight_N)
        for rows in head_chunks(hidden_ND, head, chunk):
            base_logits = head(base_hidden_ND[rows])
            state, logits = leaf_logits(head, hidden_ND[rows])
            slope = torch.empty_like(logits)
            for part in score_parts(logits):
                at = slice(rows.start + part.start, rows.start + part.stop)
                base_scores = base_logits[part].log_softmax(-1, dtype=torch.float32)
                base = base_scores.exp()
                scores = logits.detach()[part].log_softmax(-1, dtype=torch.float32)
                kl_N[at] = torch.linalg.vecdot(base, base_scores.sub_(scores))
                slope[part] = scores.exp_().sub_(base).mul_(weight_N[at, None])
            (gradient_ND[rows],) = torch.autograd.grad(logits, state, slope)
        ctx.save_for_backward(gradient_ND)
        ctx.mark_non_differentiable(kl_N)
        return (kl_N * weight_N).sum(), kl_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_ND,) = ctx.saved_tensors
        return gradient_ND * gradients[0].to(gradient_ND.dtype), *[None] * 4


def head_chunks(hidden_ND: Tensor, head: Head, chunk: int | None = None) -> list[slice]:
    """Runs of positions that go through the head at once.

    Args:
        hidden_ND: all positions.
        head: the output head.
        chunk: positions at once; none fits `CHUNK_BYTES`, on an accelerator more.
    """
    rows = len(hidden_ND)
    if rows and chunk is None:
        empty = head(hidden_ND[:0])
        limit = at_once(CHUNK_BYTES, hidden_ND.device.type)
        chunk = max(1, limit // (empty.element_size() * empty.shape[-1]))
    return [slice(start, start + (chunk or 1)) for start in range(0, rows, chunk or 1)]


def score_parts(logits_NV: Tensor) -> list[slice]:
    """Runs of a chunk's positions whose float32 statistics are formed at once."""
    rows = max(1, at_once(SCORE_NUMBERS, logits_NV.device.type) // logits_NV.shape[-1])
    count = len(logits_NV)
    return [slice(start, min(start + rows, count)) for start in range(0, count, rows)]


def leaf_logits(head: Head, hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
    """The leaf to differentiate a chunk's logits by, [N, D], and those logits [N, V]."""
    with torch.enable_grad():
        state = hidden_ND.detach().requires_grad_()
        return state, head(state)
