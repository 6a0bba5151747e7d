"""Prompts of a queue, read a few at a time, each once for all who wait for it; and tokens behind them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models.cache import SlotCache
from reasonmaxxer.models.head import decoder
from reasonmaxxer.models.masks import attention_masks
from reasonmaxxer.models.sizes import sizes


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
    most = sizes(device.type).prompt_tokens
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
    output = decoder(model)(input_ids=ids_PT.to(model.device), past_key_values=cache, use_cache=True)
    hidden_PD: Tensor = output[0][torch.arange(len(parts), device=model.device), last_P]
    return hidden_PD


def read_on(read: Any, cache: SlotCache, ids_BN: Tensor, start_B: Tensor, span: int, rows_B: Any = None) -> Any:
    """What a model or its decoder makes of the next N tokens of B slots.

    Args:
        read: a causal LM or its decoder.
        cache: written at each token's position.
        ids_BN: tokens; what pads a row lies behind its own, which do not see it.
        start_B: position of each slot's first token.
        span: positions attended to, at least those of the longest slot with its new tokens.
        rows_B: int64 slots; none is the first B.
    """
    place_BN = start_B[:, None] + torch.arange(ids_BN.shape[1], device=ids_BN.device)
    distance_BNS = place_BN[:, :, None] - torch.arange(span, device=ids_BN.device)
    cache.decode(start_B, span, rows_B)
    return read(
        input_ids=ids_BN,
        position_ids=place_BN,
        attention_mask=attention_masks(read, distance_BNS >= 0, distance_BNS),
        past_key_values=cache,
        use_cache=True,
    )
