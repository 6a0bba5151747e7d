"""A model's opinion of every token of given completions, by teacher forcing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.microscope.states import TokenSequence, state_batches
from reasonmaxxer.models import OutputHead
from reasonmaxxer.models.cpu.frozen import frozen
from reasonmaxxer.models.head import at_once
from reasonmaxxer.rollouts.sampling import CHUNK_NUMBERS, entropy_and_logprob

TOP = 5
"""Most likely tokens kept a position."""
CHUNK_BYTES = 32 * 2**20
"""Logits held at once, in the weights' type: enough rows for a fast product with the output head."""


@dataclass(frozen=True)
class PositionScores:
    """One model on the T tokens of one completion; nats, raw distribution.

    Attributes:
        entropy_T: entropy before each token, float32 (arXiv 2605.06241, Eq. 2).
        logprob_T: log-probability of each token, float32.
        rank_T: 1 + the number of tokens strictly more likely, int32.
        top_ids_TK: the `TOP` most likely tokens (all of a smaller vocabulary), likeliest first, int32.
        top_logprob_TK: their log-probabilities, float32.
    """

    entropy_T: np.ndarray
    logprob_T: np.ndarray
    rank_T: np.ndarray
    top_ids_TK: np.ndarray
    top_logprob_TK: np.ndarray


@torch.inference_mode()
def score_positions(
    sequences: Sequence[TokenSequence], model: Any, on_scored: Callable[[int], None] | None = None
) -> list[PositionScores]:
    """Score each completion by one forward of the model as it stands, its adapter on or off.

    Args:
        sequences: any number, in any order.
        model: a causal LM, PEFT-wrapped or not; put into eval mode.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        Scores in the order of the sequences.
    """
    head = OutputHead(model)
    scored: dict[int, PositionScores] = {}
    with frozen(model):
        for batch, hidden_ND in state_batches(sequences, model):
            members = [sequences[i] for i in batch]
            ids_N = torch.tensor([i for m in members for i in m.completion_ids], device=hidden_ND.device)
            columns = _score_flat(head, hidden_ND, ids_N)
            ends = np.cumsum([len(member.completion_ids) for member in members])[:-1]
            of_each = zip(*(np.split(column, ends) for column in columns), strict=True)
            for index, values in zip(batch, of_each, strict=True):
                scored[index] = PositionScores(*values)
                if on_scored:
                    on_scored(len(sequences[index]))
    return [scored[i] for i in range(len(sequences))]


def _score_flat(head: OutputHead, hidden_ND: Tensor, ids_N: Tensor) -> list[np.ndarray]:
    """Columns of `PositionScores` for N positions, chunk by chunk."""
    weight = head.projection.weight
    limits = [at_once(n, weight.device.type) for n in (CHUNK_BYTES, CHUNK_NUMBERS)]
    chunk = max(1, limits[0] // (weight.element_size() * len(weight)))
    few = max(1, limits[1] // len(weight))
    parts = [
        _score_chunk(logits_NV.float(), part_ids_N)
        for h_ND, chunk_ids_N in zip(torch.split(hidden_ND, chunk), torch.split(ids_N, chunk), strict=True)
        for logits_NV, part_ids_N in zip(torch.split(head(h_ND), few), torch.split(chunk_ids_N, few), strict=True)
    ]
    return [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]


def _score_chunk(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, ...]:
    entropy_N, logprob_N = entropy_and_logprob(logits_NV, ids_N)
    taken_N1 = logits_NV.gather(-1, ids_N[:, None])
    rank_N = (logits_NV > taken_N1).sum(-1, dtype=torch.int32) + 1  # int64 takes twice as long
    top_NK, top_ids_NK = logits_NV.topk(min(TOP, logits_NV.shape[-1]), dim=-1)
    top_logprob_NK = top_NK - taken_N1 + logprob_N[:, None]  # one normaliser for both
    return entropy_N, logprob_N, rank_N, top_ids_NK.int(), top_logprob_NK
