"""Teacher-forced scoring: entropies of the base for rollouts that came without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from reasonmaxxer.models import OutputHead, decoder
from reasonmaxxer.models.cpu.frozen import frozen
from reasonmaxxer.rollouts.sampling import entropy_and_logprob
from reasonmaxxer.rollouts.table import Rollout

CHUNK = 256
"""Positions whose logits are held at once."""


@torch.inference_mode()
def score_rollouts(
    rollouts: Iterable[Rollout], model: Any, on_scored: Callable[[int], None] | None = None
) -> list[Rollout]:
    """Fill in missing `entropy` and `logprob` by one forward of the model over each sequence.

    Args:
        rollouts: any; those that have both are returned as they are.
        model: the base, its adapter off.
        on_scored: called with the tokens of each sequence scored.
    """
    head, backbone = OutputHead(model), decoder(model)
    with frozen(model):
        return [
            rollout
            if rollout.entropy is not None and rollout.logprob is not None
            else _scored(rollout, head, backbone, on_scored)
            for rollout in rollouts
        ]


def _scored(rollout: Rollout, head: Any, backbone: Any, on_scored: Callable[[int], None] | None) -> Rollout:
    device = next(backbone.parameters()).device
    ids_1T = torch.tensor([rollout.prompt_ids + rollout.completion_ids], device=device)
    start = len(rollout.prompt_ids)
    hidden_ND = backbone(input_ids=ids_1T, use_cache=False).last_hidden_state[0, start - 1 : -1]
    pairs = [
        entropy_and_logprob(head(h_ND), ids_N)
        for h_ND, ids_N in zip(torch.split(hidden_ND, CHUNK), torch.split(ids_1T[0, start:], CHUNK), strict=True)
    ]
    entropy_N, logprob_N = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    if on_scored:
        on_scored(ids_1T.shape[1])
    return replace(rollout, entropy=entropy_N.tolist(), logprob=logprob_N.tolist())
