"""From logits to tokens: raw statistics of the model, exact temperature and top-p sampling.

A token is drawn by inverting the cumulative distribution at a uniform number. The numbers of a
rollout come from a counter-based generator seeded with the rollout's own seed, so what a rollout
draws does not depend on its neighbours in the batch.
"""

import numpy as np
import torch
from torch import Tensor

TOP = 64
"""Candidates tried before a full sort; at temperature 0.6 they nearly always hold 0.95."""


def uniforms(seed: int, length: int) -> np.ndarray:
    """`length` float64 numbers in [0, 1) from Philox, a stable stream of the seed."""
    return np.random.Generator(np.random.Philox(seed)).random(length)


def entropy_and_logprob(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of each row and log-probability of each id, in nats, both float32 [N].

    `H = -sum_v p(v) log p(v)` over the whole vocabulary (arXiv 2605.06241, Eq. 2).
    """
    logits_NV = logits_NV.float()
    shifted_NV = logits_NV - logits_NV.amax(-1, keepdim=True)
    weight_NV = shifted_NV.exp()
    total_N = weight_NV.sum(-1)
    mean_N = torch.linalg.vecdot(weight_NV, shifted_NV.nan_to_num(neginf=0.0)) / total_N
    logprob_N = shifted_NV.gather(-1, ids_N[:, None]).squeeze(-1) - total_N.log()
    return (total_N.log() - mean_N).clamp_min(0), logprob_N


def sample(logits_BV: Tensor, uniform_B: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw one token a row from the tempered distribution cut to its top-p nucleus.

    The nucleus is the smallest set of most likely tokens whose mass reaches `top_p`. It is sought
    among the `TOP` most likely tokens; only rows whose nucleus is wider are sorted in full.

    Args:
        logits_BV: raw logits.
        uniform_B: float64 numbers in [0, 1), one a row.
        temperature: 0 takes the most likely token.
        top_p: in (0, 1]; 1 keeps the whole vocabulary.

    Returns:
        Token ids, int64 [B].
    """
    if temperature == 0:
        return logits_BV.argmax(-1)
    scaled_BV = logits_BV.float() / temperature
    if top_p >= 1:
        return _invert(scaled_BV.softmax(-1).double(), uniform_B, top_p)
    normaliser_B1 = scaled_BV.logsumexp(-1, keepdim=True)
    values_BK, ids_BK = scaled_BV.topk(min(TOP, scaled_BV.shape[-1]), dim=-1)
    probability_BK = (values_BK - normaliser_B1).double().exp()
    rank_B = _invert(probability_BK, uniform_B, top_p)
    token_B = ids_BK.gather(-1, rank_B[:, None]).squeeze(-1)
    wide_B = (probability_BK.sum(-1) < top_p).nonzero().squeeze(-1)
    if len(wide_B) and values_BK.shape[-1] < scaled_BV.shape[-1]:
        values_WV, ids_WV = scaled_BV[wide_B].sort(-1, descending=True)
        probability_WV = (values_WV - normaliser_B1[wide_B]).double().exp()
        rank_W = _invert(probability_WV, uniform_B[wide_B], top_p)
        token_B[wide_B] = ids_WV.gather(-1, rank_W[:, None]).squeeze(-1)
    return token_B


def _invert(probability_BK: Tensor, uniform_B: Tensor, top_p: float) -> Tensor:
    """Column drawn from each row's columns, renormalised over the shortest prefix holding top_p."""
    cumulative_BK = probability_BK.cumsum(-1)
    size_B = ((cumulative_BK - probability_BK) < top_p).sum(-1)
    if top_p >= 1:
        size_B = torch.full_like(size_B, probability_BK.shape[-1])
    mass_B1 = cumulative_BK.gather(-1, size_B[:, None] - 1)
    drawn_B = (cumulative_BK <= uniform_B[:, None] * mass_B1).sum(-1)
    return drawn_B.minimum(size_B - 1)
