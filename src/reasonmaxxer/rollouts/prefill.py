"""Prompts of a queue, read a few at a time, each once for all who wait for it next to one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models import decoder
from reasonmaxxer.rollouts.cache import SlotCache

PREFILL_TOKENS = 1024
"""Prompt tokens that a CPU reads at once, padding included."""
ACCELERATED_PREFILL_TOKENS = 8192
"""Prompt tokens that another device reads at once."""


def prefill_tokens(device: str) -> int:
    """Prompt tokens that a type of device, `cpu` or another, reads at once."""
    return PREFILL_TOKENS if device == "cpu" else ACCELERATED_PREFILL_TOKENS


def next_prompts(
    waiting: Iterable[tuple[int, ...]], device: torch.device, prefix: int = 0
) -> dict[tuple[int, ...], int]:
    """The first few prompts of a queue, at least one, and the row of each when they are read together.

    Args:
        waiting: prompts in order.
        device: that reads them.
        prefix: tokens of each that have been read.
    """
    rows: dict[tuple[int, ...], int] = {}
    width = 0
    most = prefill_tokens(device.type)
    for prompt in waiting:
        width = max(width, len(prompt) - prefix)
        if rows and (len(rows) + 1) * width > most:
            break
        rows.setdefault(prompt, len(rows))
    return rows


def read_together(model: Any, cache: SlotCache, parts: Sequence[tuple[int, ...]]) -> Tensor:
    """Final hidden state [P, D] of each part's last token; parts are padded on the right.

    Args:
        model: a causal LM, PEFT-wrapped or not.
        cache: keeps the parts' keys and values aside, to be admitted to slots.
        parts: token ids.
    """
    last_P = torch.tensor([len(part) - 1 for part in parts], device=model.device)
    ids_PT = torch.zeros(len(parts), int(last_P.max()) + 1, dtype=torch.long)
    for row, part in enumerate(parts):
        ids_PT[row, : len(part)] = torch.tensor(part)
    cache.prefill()
    output = decoder(model)(
        input_ids=ids_PT.to(model.device), past_key_values=cache, use_cache=True
    )
    hidden_PD: Tensor = output[0][torch.arange(len(parts), device=model.device), last_P]
    return hidden_PD
