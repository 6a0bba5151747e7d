"""From logits to tokens: raw statistics of the model, exact temperature and top-p sampling.

A token is drawn by inverting the cumulative distribution at a uniform number. The numbers of a
rollout come from a counter-based generator seeded with the rollout's own seed, so what a rollout
draws does not depend on its neighbours in the batch.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.models.score import entropy, shifted
from reasonmaxxer.models.sizes import sizes

TOP = 64
"""Candidates tried before a full sort; at temperature 0.6 they nearly always hold 0.95."""


def uniforms(seed: int, length: int) -> np.ndarray:
    """`length` float64 numbers in [0, 1) from Philox, a stable stream of the seed."""
    return np.random.Generator(np.random.Philox(seed)).random(length)


class Draws(NamedTuple):
    """One token a row, and what the model thought of it.

    Attributes:
        token_B: int64 ids.
        entropy_B: float32 entropy of each raw distribution, nats.
        logprob_B: float32 log-probability of each token under it, nats.
        tempered_B: float32 log-probability of each token at the temperature, before the nucleus is cut, nats.
        valid_B: bool, whether the token is a draw; not where the nucleus was not searched to its end.
    """

    token_B: Tensor
    entropy_B: Tensor
    logprob_B: Tensor
    tempered_B: Tensor
    valid_B: Tensor


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float, top_p: float, search: bool = True) -> Draws:
    """Draw one token a row from the tempered distribution cut to its top-p nucleus.

    The nucleus is the smallest set of most likely tokens whose mass reaches `top_p`. It is sought
    among the `TOP` most likely tokens; only rows whose nucleus is wider are sorted in full.

    Args:
        logits_BV: raw logits, any floating type.
        uniform_B: float64 numbers in [0, 1), one a row.
        temperature: 0 takes the most likely token.
        top_p: in (0, 1]; 1 keeps the whole vocabulary.
        search: sort those rows, which makes the CPU wait for a GPU; else their tokens are no draws, and
            are to be drawn again at the same number.
    """
    on_cpu = logits_BV.device.type == "cpu"  # a GPU wants few large operators
    rows = max(1, sizes("cpu").statistics // logits_BV.shape[-1]) if on_cpu else len(logits_BV)
    parts = [
        _draw(logits_NV.float(), uniform_N, temperature, top_p, search)
        for logits_NV, uniform_N in zip(torch.split(logits_BV, rows), torch.split(uniform_B, rows), strict=True)
    ]
    return Draws(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _draw(logits_NV: Tensor, uniform_N: Tensor, temperature: float, top_p: float, search: bool) -> tuple[Tensor, ...]:
    """The columns of `Draws`, of a chunk of rows."""
    shifted_NV = shifted(logits_NV)
    entropy_N, normaliser_N1, scratch_NV = entropy(shifted_NV)
    if temperature == 0:
        token_N = shifted_NV.argmax(-1)
        tempered_N, valid_N = torch.zeros_like(entropy_N), torch.ones_like(token_N, dtype=torch.bool)
    else:
        scaled_NV = torch.div(shifted_NV, temperature, out=scratch_NV)
        token_N, tempered_N, valid_N = _nucleus(scaled_NV, uniform_N, top_p, search)
    logprob_N1 = shifted_NV.gather(-1, token_N[:, None]) - normaliser_N1
    return token_N, entropy_N, logprob_N1.squeeze(-1), tempered_N, valid_N


def _nucleus(scaled_NV: Tensor, uniform_N: Tensor, top_p: float, search: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Token drawn from each row of tempered logits, its log-probability in the whole row, and whether it is a draw."""
    every_N = torch.ones_like(uniform_N, dtype=torch.bool)
    if top_p >= 1:
        whole_NV = scaled_NV.softmax(-1)
        token_N = _invert(whole_NV.double(), uniform_N, top_p)
        return token_N, whole_NV.gather(-1, token_N[:, None]).squeeze(-1).log(), every_N
    vocabulary = scaled_NV.shape[-1]
    values_NK, ids_NK = scaled_NV.topk(min(TOP, vocabulary), dim=-1)
    total_N1 = scaled_NV.exp().sum(-1, keepdim=True).log()
    probability_NK = (values_NK - total_N1).double().exp()
    rank_N = _invert(probability_NK, uniform_N, top_p)
    token_N = ids_NK.gather(-1, rank_N[:, None]).squeeze(-1)
    narrow_N = probability_NK.sum(-1) >= top_p if values_NK.shape[-1] < vocabulary else every_N
    wide_N = (~narrow_N).nonzero().squeeze(-1) if search else token_N[:0]
    if len(wide_N):
        values_WV, ids_WV = scaled_NV[wide_N].sort(-1, descending=True)
        probability_WV = (values_WV - total_N1[wide_N]).double().exp()
        rank_W = _invert(probability_WV, uniform_N[wide_N], top_p)
        token_N[wide_N] = ids_WV.gather(-1, rank_W[:, None]).squeeze(-1)
    tempered_N1 = scaled_NV.gather(-1, token_N[:, None]) - total_N1
    return token_N, tempered_N1.squeeze(-1), every_N if search else narrow_N


def _invert(probability_BK: Tensor, uniform_B: Tensor, top_p: float) -> Tensor:
    """Column drawn from each row's columns, renormalised over the shortest prefix holding top_p."""
    cumulative_BK = probability_BK.cumsum(-1)
    size_B = ((cumulative_BK - probability_BK) < top_p).sum(-1)
    if top_p >= 1:
        size_B = torch.full_like(size_B, probability_BK.shape[-1])
    mass_B1 = cumulative_BK.gather(-1, size_B[:, None] - 1)
    drawn_B = (cumulative_BK <= uniform_B[:, None] * mass_B1).sum(-1)
    return drawn_B.minimum(size_B - 1)
