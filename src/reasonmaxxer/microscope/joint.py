"""Two models' opinions of the same positions, side by side.

Both come from final hidden states through each model's own head, a few positions at a time (`models/score.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.models import OutputHead
from reasonmaxxer.models.score import ordered_top, over_positions, rank_of, shifted

TOP = 5
"""Places of the base within which another choice counts as reranked (arXiv 2605.06241, Eq. 3)."""
UNSHIFTED, RERANKED, SHIFTED = 0, 1, 2
LN2 = log(2)


@dataclass(frozen=True)
class JointScores:
    """Base and tuned model at N positions; raw distributions, natural logarithms.

    A model's choice is its most likely token, of equals the one of the lowest id; ranks count in that
    order, from 1.

    Attributes:
        kind_N: 0 where both choose the same token (unshifted), 1 where the tuned model's choice is
            another of the base's top 5 (reranked), 2 where it is none of them (shifted), int8
            (arXiv 2605.06241, Eq. 3).
        base_entropy_N: entropy, nats (Eq. 2).
        tuned_entropy_N: likewise.
        base_logprob_N: log-probability of the token that is there.
        tuned_logprob_N: likewise.
        base_rank_N: 1 + the number of tokens more likely than the one that is there, int32.
        tuned_rank_N: likewise.
        base_top_NK: ids of the 5 most likely tokens, likeliest first, int32; the first is the choice.
        tuned_top_NK: likewise.
        base_top_logprob_NK: their log-probabilities.
        tuned_top_logprob_NK: likewise.
        forward_rank_N: rank of the tuned model's choice under the base, int32.
        backward_rank_N: rank of the base's choice under the tuned model, int32.
        jsd_N: Jensen-Shannon divergence, nats, 0 to log 2.
        kl_base_N: KL(base || tuned), nats.
        kl_tuned_N: KL(tuned || base), nats.
        overlap_N: sum of min(p, q): how often samples of the two agree when they are drawn to agree as
            often as can be.
        moved_within_N: probability that changed places among the base's top 5.
        moved_out_N: probability that left the base's top 5, negative where it came in.
    """

    kind_N: np.ndarray
    base_entropy_N: np.ndarray
    tuned_entropy_N: np.ndarray
    base_logprob_N: np.ndarray
    tuned_logprob_N: np.ndarray
    base_rank_N: np.ndarray
    tuned_rank_N: np.ndarray
    base_top_NK: np.ndarray
    tuned_top_NK: np.ndarray
    base_top_logprob_NK: np.ndarray
    tuned_top_logprob_NK: np.ndarray
    forward_rank_N: np.ndarray
    backward_rank_N: np.ndarray
    jsd_N: np.ndarray
    kl_base_N: np.ndarray
    kl_tuned_N: np.ndarray
    overlap_N: np.ndarray
    moved_within_N: np.ndarray
    moved_out_N: np.ndarray

    def __len__(self) -> int:
        return len(self.kind_N)


@torch.inference_mode()
def score_joint(base_ND: Tensor, tuned_ND: Tensor, heads: tuple[OutputHead, OutputHead], ids_N: Tensor) -> JointScores:
    """Compare two models at N positions.

    Args:
        base_ND: final hidden states of the base; each model has its own D.
        tuned_ND: of the tuned model at the same positions.
        heads: of the base and of the tuned model.
        ids_N: int64 token that is there.
    """
    columns = over_positions(score_chunk, heads, (base_ND, tuned_ND), ids_N)
    return JointScores(*(column.cpu().numpy() for column in columns))


def score_chunk(base_NV: Tensor, tuned_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, ...]:
    """Fields of `JointScores`, in order, from float32 logits."""
    base, tuned = _Opinion(base_NV, ids_N), _Opinion(tuned_NV, ids_N)
    forward_N = rank_of(base_NV, tuned.choice_N)
    kind_N = (forward_N > 1).to(torch.int8) + (forward_N > TOP).to(torch.int8)
    p_NV, q_NV = base.probability_NV, tuned.probability_NV
    least_NV = torch.minimum(p_NV, q_NV)
    overlap_N = least_NV.sum(-1)
    p_NK, q_NK = (x.gather(-1, base.top_NK) for x in (p_NV, q_NV))
    out_N = (p_NK - q_NK).sum(-1)
    within_N = ((p_NK - q_NK).abs().sum(-1) - out_N.abs()) / 2
    ratio_NV = base.logprob_NV - tuned.logprob_NV
    kl_base_N = torch.linalg.vecdot(p_NV, ratio_NV).clamp_min(0)
    kl_tuned_N = -torch.linalg.vecdot(q_NV, ratio_NV).clamp_max(0)
    jsd_N = jensen_shannon(p_NV, q_NV)
    return (
        kind_N,
        base.entropy_N, tuned.entropy_N, base.taken_N, tuned.taken_N, base.rank_N, tuned.rank_N,
        base.top_NK.int(), tuned.top_NK.int(), base.top_logprob_NK, tuned.top_logprob_NK,
        forward_N, rank_of(tuned_NV, base.choice_N),
        jsd_N, kl_base_N, kl_tuned_N, overlap_N.clamp_max(1), within_N.clamp_min(0), out_N,
    )  # fmt: skip


class _Opinion:
    """One model's distribution at N positions and what is read off it."""

    def __init__(self, logits_NV: Tensor, ids_N: Tensor) -> None:
        shifted_NV = shifted(logits_NV)
        self.probability_NV = shifted_NV.exp()
        total_N1 = self.probability_NV.sum(-1, keepdim=True)
        self.probability_NV /= total_N1
        self.logprob_NV = shifted_NV.sub_(total_N1.log())
        mean_N = torch.linalg.vecdot(self.probability_NV, self.logprob_NV)
        self.entropy_N = (-mean_N).clamp_min(0)
        self.taken_N = self.logprob_NV.gather(-1, ids_N[:, None]).squeeze(-1)
        self.rank_N = rank_of(logits_NV, ids_N)
        self.top_NK = ordered_top(logits_NV, TOP)
        self.choice_N = self.top_NK[:, 0]
        self.top_logprob_NK = self.logprob_NV.gather(-1, self.top_NK)


def jensen_shannon(p_NV: Tensor, q_NV: Tensor) -> Tensor:
    """Divergence of each pair of distributions, nats, [N]; exactly 0 where they are the same."""
    # p log(p / m) with m the mean: as a ratio, two equal numbers cancel without a rounding error. The least
    # ratio makes 0 log 0 zero, as xlogy would, which has no vectorised kernel on a CPU.
    least = torch.finfo(p_NV.dtype).tiny
    middle_NV = (p_NV + q_NV).mul_(0.5).clamp_min_(least)
    total_N: Tensor = torch.linalg.vecdot(p_NV, (p_NV / middle_NV).clamp_min_(least).log_())
    total_N += torch.linalg.vecdot(q_NV, (q_NV / middle_NV).clamp_min_(least).log_())
    return (total_N / 2).clamp_(0, LN2)


def separated(scores: JointScores, lengths: Sequence[int]) -> list[JointScores]:
    """One as several, of so many positions each."""
    ends = np.cumsum(lengths)[:-1]
    columns = (np.split(getattr(scores, field.name), ends) for field in fields(JointScores))
    return [JointScores(*own) for own in zip(*columns, strict=True)]
