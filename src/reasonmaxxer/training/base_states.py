"""The base's final hidden states of rows that will be seen again."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from torch import Tensor

from reasonmaxxer.models.layout import Layout

LIMIT_BYTES = 4 * 2**30
"""Main memory to spend; rows beyond it are computed anew."""


class BaseStates:
    """Hidden states of whole rows, in main memory.

    Epochs and the gates of a sweep see the same rows, so the base reads each of them once.

    Args:
        limit_bytes: what may be kept.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.left = limit_bytes
        self._states: dict[bytes, Tensor] = {}

    def get(self, row: dict[str, Any]) -> Tensor | None:
        """Hidden states [T, D] of a row seen before, on its device."""
        kept = self._states.get(row["key"])
        return None if kept is None else kept.to(row["input_ids"].device, non_blocking=True)

    def keep(self, row: dict[str, Any], hidden_ND: Tensor) -> None:
        """Remember a row, if there is room."""
        size = hidden_ND.numel() * hidden_ND.element_size()
        if size <= self.left:
            self.left -= size
            kept = hidden_ND.cpu()
            # from pinned memory it goes back without the host waiting for it
            self._states[row["key"]] = kept.pin_memory() if hidden_ND.is_cuda else kept


def row_key(ids: np.ndarray, layout: Layout) -> bytes:
    """What tells a row from all others."""
    return hashlib.sha256(f"{layout}".encode() + ids.tobytes()).digest()
