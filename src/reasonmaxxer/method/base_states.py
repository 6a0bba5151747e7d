"""The base's final hidden states of rows that will be seen again."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor

from reasonmaxxer.models.layout import Layout

LIMIT_BYTES = 4 * 2**30
"""Main memory to spend; rows beyond it are computed anew."""


@contextmanager
def as_base(model: Any) -> Iterator[None]:
    """Within the block the model is its base, in eval mode and without gradients.

    That is `eval()` and PEFT's `disable_adapter()`, which would keep a GPU waiting at every row: they set
    every module anew, and whether its weights have gradients. Here only flags that differ are set.

    Args:
        model: one that carries an adapter.
    """
    flags = [(module, "training") for module in model.modules() if module.training]
    flags += [
        (module, "_disable_adapters")
        for module in model.modules()
        if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper) and not module.disable_adapters
    ]
    for module, name in flags:
        vars(module)[name] = not getattr(module, name)
    try:
        with torch.no_grad():
            yield
    finally:
        for module, name in flags:
            vars(module)[name] = not getattr(module, name)


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
