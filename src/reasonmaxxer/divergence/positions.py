"""A model's opinion of every token of given completions, by teacher forcing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.models import OutputHead, decoder
from reasonmaxxer.rollouts.sampling import CHUNK_NUMBERS, entropy_and_logprob

TOP = 5
"""Most likely tokens kept a position."""
BATCH_TOKENS = 1024
"""Tokens read at once, padding included."""
CHUNK_BYTES = 32 * 2**20
"""Logits held at once, in the weights' type: enough rows for a fast product with the output head."""


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and the completion whose tokens are judged; neither is empty."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)


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
    sequences: Sequence[TokenSequence],
    model: Any,
    on_scored: Callable[[int], None] | None = None,
) -> list[PositionScores]:
    """Score each completion by one forward of the model as it stands, its adapter on or off.

    Sequences of similar length are read together, padded on the right: a causal model's states do
    not depend on what follows, so the padding needs no mask.

    Args:
        sequences: any number, in any order.
        model: a causal LM, PEFT-wrapped or not; put into eval mode.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        Scores in the order of the sequences.
    """
    model.eval()
    head, backbone = OutputHead(model), decoder(model)
    scored: dict[int, PositionScores] = {}
    for batch in _batches([len(s) for s in sequences]):
        members = [sequences[i] for i in batch]
        scores = _score_batch(members, head, backbone)
        for index, sequence, score in zip(batch, members, scores, strict=True):
            scored[index] = score
            if on_scored:
                on_scored(len(sequence))
    return [scored[i] for i in range(len(sequences))]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices, longest first, in batches of at most `BATCH_TOKENS` padded tokens."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        size = max(1, BATCH_TOKENS // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _score_batch(
    members: Sequence[TokenSequence], head: OutputHead, backbone: Any
) -> list[PositionScores]:
    device = next(backbone.parameters()).device
    ids_BT = torch.zeros((len(members), max(map(len, members))), dtype=torch.long)
    target_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    for row, member in enumerate(members):
        ids_BT[row, : len(member)] = torch.tensor([*member.prompt_ids, *member.completion_ids])
        target_BT[row, len(member.prompt_ids) : len(member)] = True
    ids_BT, target_BT = ids_BT.to(device), target_BT.to(device)
    hidden_BTD = backbone(input_ids=ids_BT, use_cache=False).last_hidden_state
    hidden_ND = hidden_BTD[:, :-1][target_BT[:, 1:]]  # position t predicts token t + 1
    columns = _score_flat(head, hidden_ND, ids_BT[target_BT])
    ends = np.cumsum([len(member.completion_ids) for member in members])[:-1]
    parts = (np.split(column, ends) for column in columns)
    return [PositionScores(*of_one) for of_one in zip(*parts, strict=True)]


def _score_flat(head: OutputHead, hidden_ND: Tensor, ids_N: Tensor) -> list[np.ndarray]:
    """Columns of `PositionScores` for N positions, chunk by chunk."""
    weight = head.projection.weight
    chunk = max(1, CHUNK_BYTES // (weight.element_size() * len(weight)))
    few = max(1, CHUNK_NUMBERS // len(weight))
    parts = [
        _score_chunk(logits_NV.float(), part_ids_N)
        for h_ND, chunk_ids_N in zip(
            torch.split(hidden_ND, chunk), torch.split(ids_N, chunk), strict=True
        )
        for logits_NV, part_ids_N in zip(
            torch.split(head(h_ND), few), torch.split(chunk_ids_N, few), strict=True
        )
    ]
    return [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]


def _score_chunk(logits_NV: Tensor, ids_N: Tensor) -> tuple[Tensor, ...]:
    entropy_N, logprob_N = entropy_and_logprob(logits_NV, ids_N)
    taken_N1 = logits_NV.gather(-1, ids_N[:, None])
    rank_N = (logits_NV > taken_N1).sum(-1, dtype=torch.int32) + 1  # int64 takes twice as long
    top_NK, top_ids_NK = logits_NV.topk(min(TOP, logits_NV.shape[-1]), dim=-1)
    top_logprob_NK = top_NK - taken_N1 + logprob_N[:, None]  # one normaliser for both
    return entropy_N, logprob_N, rank_N, top_ids_NK.int(), top_logprob_NK
