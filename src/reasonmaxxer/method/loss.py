"""The ReasonMaxxer loss, from hidden states, without ever holding the logits of a batch.

Each sequence weighs the same (arXiv 2605.06241, Eq. 6 and 7):

    L = mean over decision points of  -A log p_theta(x_t | x_<t)
      + lambda * mean over all other positions of  KL(p_base || p_theta)

Both terms have simple gradients with respect to the logits z of p_theta,

    d(-A log p(x)) / dz = A (p - onehot(x)),        d KL(p_base || p) / dz = p - p_base,

so each chunk of positions goes through the output head once (`models/score.py`): its logits give the loss and, at
the same time, the gradient of its hidden states.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reasonmaxxer.models.score import Head, head_loss


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
        chunk: positions at once; none fits `Sizes.logit_bytes`.

    Returns:
        The loss, a float32 scalar with gradient, and `log p` of each target in nats, float32 [N].
    """
    floor = math.log(negative_floor) if negative_floor > 0 else -math.inf

    def term(at: slice, logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        target_N1, advantage_N = decisions.target_N[at, None], decisions.advantage_N[at]
        weight_N = decisions.weight_N[at]
        score_NV = logits_NV.log_softmax(-1, dtype=torch.float32)
        logprob_N = score_NV.gather(-1, target_N1).squeeze(-1)
        floored_N = (advantage_N < 0) & (logprob_N < floor)
        loss_N = -advantage_N * logprob_N.masked_fill(floored_N, floor) * weight_N
        push_N1 = (advantage_N * weight_N).masked_fill(floored_N, 0.0)[:, None]
        slope_NV = score_NV.exp_().mul_(push_N1).scatter_add_(-1, target_N1, -push_N1)
        return slope_NV, loss_N, logprob_N

    return head_loss(head, decisions.hidden_ND, term, chunk=chunk)


def anchor_loss(head: Head, anchors: Anchors, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Weighted sum of `KL(p_base || p_theta)` over anchor positions (arXiv 2605.06241, Eq. 7).

    Args:
        head: the output head, its weights frozen, the same for base and adapted model.
        anchors: the positions.
        chunk: positions at once; none fits `Sizes.logit_bytes`.

    Returns:
        The loss, a float32 scalar with gradient, and each KL in nats, float32 [N].
    """

    def term(at: slice, logits_NV: Tensor, base_logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight_N = anchors.weight_N[at]
        base_score_NV = base_logits_NV.log_softmax(-1, dtype=torch.float32)
        base_NV = base_score_NV.exp()
        score_NV = logits_NV.log_softmax(-1, dtype=torch.float32)
        kl_N = torch.linalg.vecdot(base_NV, base_score_NV.sub_(score_NV))
        slope_NV = score_NV.exp_().sub_(base_NV).mul_(weight_N[:, None])
        return slope_NV, kl_N * weight_N, kl_N

    return head_loss(head, anchors.hidden_ND, term, (anchors.base_hidden_ND,), chunk=chunk)
