"""The ReasonMaxxer loss, from hidden states, without ever holding the logits of a batch.

Each sequence weighs the same (arXiv 2605.06241, Eq. 6 and 7):

    L = mean over decision points of  -A log p_theta(x_t | x_<t)
      + lambda * mean over all other positions of  KL(p_base || p_theta)

or another function of `log p_theta(x_t | x_<t)` in place of the first (`objectives.py`). Both terms have simple
gradients with respect to the logits z of p_theta,

    d f(log p(x)) / dz = f' (onehot(x) - p),        d KL(p_base || p) / dz = p - p_base,

so each chunk of positions goes through the output head once (`models/score.py`): its logits give the loss and, at
the same time, the gradient of its hidden states.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reasonmaxxer.method.objectives import Objective
from reasonmaxxer.models.score import Head, head_loss


@dataclass(frozen=True)
class Decisions:
    """Decision points of a batch, N of them, flattened.

    Attributes:
        hidden_ND: hidden state that predicts each decision token.
        target_N: the sampled token, int64.
        advantage_N: advantage of its rollout.
        base_logprob_N: log-probability of the token under the model that sampled it, nats.
        weight_N: its share of the loss: 1 / (decision points of its sequence x sequences).
    """

    hidden_ND: Tensor
    target_N: Tensor
    advantage_N: Tensor
    base_logprob_N: Tensor
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
    head: Head, decisions: Decisions, objective: Objective, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Weighted sum of an objective over decision points (arXiv 2605.06241, Eq. 6).

    Args:
        head: the output head, its weights frozen.
        decisions: the positions.
        objective: of `objective_of`.
        chunk: positions at once; none fits `Sizes.logit_bytes`.

    Returns:
        The loss, a float32 scalar with gradient, and `log p` of each target in nats, float32 [N].
    """

    def term(at: slice, logits_NV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        target_N1, weight_N = decisions.target_N[at, None], decisions.weight_N[at]
        score_NV = logits_NV.log_softmax(-1, dtype=torch.float32)
        logprob_N = score_NV.gather(-1, target_N1).squeeze(-1)
        loss_N, slope_N = objective(decisions.advantage_N[at], logprob_N, decisions.base_logprob_N[at])
        push_N1 = (slope_N * weight_N)[:, None]
        slope_NV = score_NV.exp_().mul_(-push_N1).scatter_add_(-1, target_N1, push_N1)
        return slope_NV, loss_N * weight_N, logprob_N

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
