"""What a decision point teaches: the objectives, each a function of advantage and log-probabilities.

With A the advantage of the rollout, p the adapted model's probability of the sampled token and p_0 that of the model
that sampled it, each is a loss of one token that is differentiated through log p alone:

    paper      -A log p                                             arXiv 2605.06241, Eq. 6
    topr       -A log p           where A > 0                       arXiv 2503.14286, a token for a rollout
               -A f(p / p_0)      where A < 0,   f(x) = x up to 1, 1 + log x beyond
    ppo        -min(A x, A clip(x, 1 - e, 1 + e)),   x = p / p_0    arXiv 1707.06347

The slope of `topr` by log p is -A min(p / p_0, 1) where A < 0: the push against a token fades as the token does, so
the loss is bounded below and no floor is needed.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from reasonmaxxer.config import ObjectiveName

Objective = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of advantages, log-probabilities and those of the model that sampled, float32 [N], nats: the loss of each token and
its slope by the log-probability, float32 [N]."""


def paper(advantage_N: Tensor, logprob_N: Tensor, base_logprob_N: Tensor, *, floor: float) -> tuple[Tensor, Tensor]:
    """`-A log p`; where A < 0, `log p` stops at `log(floor)`, and 0 is the paper's unbounded form."""
    lowest = math.log(floor) if floor > 0 else -math.inf
    floored_N = (advantage_N < 0) & (logprob_N < lowest)
    return -advantage_N * logprob_N.masked_fill(floored_N, lowest), -advantage_N.masked_fill(floored_N, 0.0)


def topr(advantage_N: Tensor, logprob_N: Tensor, base_logprob_N: Tensor) -> tuple[Tensor, Tensor]:
    """`-A log p` where A > 0; where A < 0 the push fades with the probability."""
    change_N = logprob_N - base_logprob_N
    ratio_N = change_N.clamp(max=0.0).exp()
    tapered_N = ratio_N + change_N.clamp(min=0.0)
    negative_N = advantage_N < 0
    loss_N = -advantage_N * torch.where(negative_N, tapered_N, logprob_N)
    return loss_N, -advantage_N * torch.where(negative_N, ratio_N, 1.0)


def ppo(advantage_N: Tensor, logprob_N: Tensor, base_logprob_N: Tensor, *, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped surrogate: no push beyond a ratio of 1 +- clip in the direction in which it pays."""
    ratio_N = (logprob_N - base_logprob_N).exp()
    bound_N = ratio_N.clamp(1 - clip, 1 + clip)
    loss_N = -torch.minimum(advantage_N * ratio_N, advantage_N * bound_N)
    pays_N = torch.where(advantage_N > 0, ratio_N <= 1 + clip, ratio_N >= 1 - clip)
    return loss_N, -advantage_N * ratio_N * pays_N


def objective_of(name: ObjectiveName, negative_floor: float, clip_epsilon: float) -> Objective:
    """An objective by its name, with its setting bound.

    Args:
        name: of the objective.
        negative_floor: of `paper`, probability in [0, 1).
        clip_epsilon: of `ppo`.
    """
    objectives: dict[ObjectiveName, Objective] = {
        "paper": partial(paper, floor=negative_floor),
        "topr": topr,
        "ppo": partial(ppo, clip=clip_epsilon),
    }
    return objectives[name]
