"""The base's final hidden states of rows that will be seen again."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor

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
        kept = self._states.get(_key(row))
        return None if kept is None else kept.to(row["input_ids"].device)

    def keep(self, row: dict[str, Any], hidden_ND: Tensor) -> None:
        """Remember a row, if there is room."""
        size = hidden_ND.numel() * hidden_ND.element_size()
        if size <= self.left:
            self.left -= size
            self._states[_key(row)] = hidden_ND.cpu()


def _key(row: dict[str, Any]) -> bytes:
    ids = row["input_ids"].cpu().numpy()
    return hashlib.sha256(f"{row['layout']}".encode() + ids.tobytes()).digest()
