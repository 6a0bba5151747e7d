"""A key-value cache of fixed slots, one sequence a slot, each at its own length.

The model's own forward writes and reads it through transformers' cache interface. Two uses
alternate: prompts are read alone (`prefill`), their keys and values kept aside for all their rollouts;
then slots take one token or a few at once (`decode`), each at its own position. What lies behind a
position is written over when it is read again, so a slot goes back by naming an earlier position. A
beginning that all prompts share is read once and kept (`keep_prefix`).
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, [slots, heads, capacity, head size] each."""

    is_sliding = False

    def __init__(self, slots: int, capacity: int) -> None:
        super().__init__()
        self.slots, self.capacity = slots, capacity
        self.prefix: tuple[Tensor, Tensor] | None = None
        self.prompts: tuple[Tensor, Tensor] | None = None
        self.rows: Tensor | None = None
        self.positions: Tensor | None = None
        self.span = 0
        self.scattered = False

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate on the first prompt, when heads, head size, type and device are known."""
        self.keys, self.values = (
            states.new_zeros(self.slots, states.shape[1], self.capacity, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Prefill keeps the prompts' states aside; decode writes the new tokens of each row."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.rows is None or self.positions is None:
            own = (key_states, value_states)
            self.prompts = own if self.prefix is None else _joined(self.prefix, own)
            return self.prompts
        for offset in range(key_states.shape[2]):
            places = self.positions + offset if offset else self.positions
            self.keys[self.rows, :, places] = key_states[:, :, offset]
            self.values[self.rows, :, places] = value_states[:, :, offset]
        rows = self.rows if self.scattered else slice(len(self.rows))
        return self.keys[rows, :, : self.span], self.values[rows, :, : self.span]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what the causal mask of a prompt covers."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Where a prompt goes on behind the prefix; decoding passes explicit positions."""
        return 0 if self.prefix is None else self.prefix[0].shape[2]

    def get_max_length(self) -> int:
        """Capacity of a slot, tokens."""
        return self.capacity


class SlotCache(Cache):  # type: ignore[misc]
    """Slots for `slots` sequences of up to `capacity` tokens in every layer."""

    def __init__(self, layers: int, slots: int, capacity: int) -> None:
        super().__init__(layers=[SlotLayer(slots, capacity) for _ in range(layers)])

    def keep_prefix(self) -> None:
        """What was read last, a single row, is how all prompts to come begin."""
        for layer in self.layers:
            layer.prefix = layer.prompts

    def prefill(self) -> None:
        """The next forward reads prompts alone, without the prefix, padded on the right."""
        for layer in self.layers:
            layer.rows = layer.positions = None

    def decode(self, positions_B: Tensor, span: int, rows_B: Tensor | None = None) -> None:
        """The next forward adds tokens to B slots, the first of each at these positions.

        Args:
            positions_B: int64 position of each slot's first new token.
            span: positions attended to, the longest slot's length with its new tokens.
            rows_B: int64 slots, which copies what they hold; none is the first B, which does not.
        """
        scattered = rows_B is not None
        if rows_B is None:
            rows_B = torch.arange(len(positions_B), device=positions_B.device)
        for layer in self.layers:
            layer.rows, layer.positions, layer.span = rows_B, positions_B, span
            layer.scattered = scattered

    def admit(self, slot: int, row: int, length: int) -> None:
        """Put a prompt of those read last into a slot.

        Args:
            slot: where.
            row: of the prompt in the last prefill.
            length: its tokens, padding excluded.
        """
        for layer in self.layers:
            for states, prompts in zip((layer.keys, layer.values), layer.prompts, strict=True):
                states[slot, :, :length] = prompts[row, :, :length]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a slot's first `length` positions over another slot."""
        for layer in self.layers:
            for states in (layer.keys, layer.values):
                states[target, :, :length] = states[source, :, :length]


def _joined(prefix: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Keys and values of the prefix before those of each row."""
    keys, values = (
        torch.cat([shared.expand(len(states), -1, -1, -1), states], 2)
        for shared, states in zip(prefix, own, strict=True)
    )
    return keys, values
