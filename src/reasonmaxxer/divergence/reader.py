"""A model that reads tokens a few at a time at positions of one's choosing, and can go back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models import decoder
from reasonmaxxer.models.attention import use_attention
from reasonmaxxer.models.masks import attention_masks
from reasonmaxxer.rollouts.cache import SlotCache

PREFILL_TOKENS = 1024
"""Prompt tokens read at once, padding included."""


class Reader:
    """One model with a slot for each of several texts.

    Args:
        model: a causal LM as it stands.
        prompts: a text each.
        room: tokens that may be read behind the longest prompt.

    Attributes:
        lengths: tokens of each slot that the model has read; lower one to go back.
        passes: forward passes of each slot so far.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], room: int) -> None:
        self.model = model
        self.prompts = prompts
        self.lengths = [0] * len(prompts)
        self.passes = [0] * len(prompts)
        layers = model.config.get_text_config().num_hidden_layers
        self.capacity = max(map(len, prompts)) + room
        self.cache = SlotCache(layers, len(prompts), self.capacity)
        use_attention(model)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device  # type: ignore[no-any-return]

    @torch.inference_mode()
    def begin(self) -> Tensor:
        """Read all prompts; the states [slots, D] that predict what follows them."""
        width = max(map(len, self.prompts))
        count = max(1, PREFILL_TOKENS // width)
        return torch.cat(
            [
                self._prefill(range(start, min(start + count, len(self.prompts))))
                for start in range(0, len(self.prompts), count)
            ]
        )

    def _prefill(self, slots: range) -> Tensor:
        prompts = [self.prompts[slot] for slot in slots]
        ids_PT = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids_PT[row, : len(prompt)] = torch.tensor(prompt)
        self.cache.prefill()
        states_PTD = decoder(self.model)(
            input_ids=ids_PT.to(self.device), past_key_values=self.cache, use_cache=True
        )[0]
        for row, slot in enumerate(slots):
            self.cache.admit(slot, row, len(prompts[row]))
            self.lengths[slot] = len(prompts[row])
            self.passes[slot] += 1
        last_P = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self.device)
        found: Tensor = states_PTD[torch.arange(len(prompts), device=self.device), last_P]
        return found

    @torch.inference_mode()
    def read(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read the next tokens of some slots, each in one forward pass.

        Args:
            slots: any, each once.
            tokens: at least one for each of them.

        Returns:
            The states [tokens, D] behind each of the tokens, by slot as asked.
        """
        found: dict[int, Tensor] = {}
        for group in self._fitting(slots, tokens):
            states = self._read([slots[i] for i in group], [tokens[i] for i in group])
            found.update(zip(group, states, strict=True))
        return [found[i] for i in range(len(slots))]

    def _fitting(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows to read together: padded to the longest of them, none reaches beyond its slot."""
        groups: list[list[int]] = []
        for row in sorted(range(len(slots)), key=lambda row: -len(tokens[row])):
            room = self.capacity - self.lengths[slots[row]]
            group = next((g for g in groups if len(tokens[g[0]]) <= room), None)
            if group is None:
                groups.append([row])
            else:
                group.append(row)
        return [sorted(group) for group in groups]

    def _read(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        width = max(map(len, tokens))
        ids_BN = torch.zeros(len(slots), width, dtype=torch.long)
        for row, own in enumerate(tokens):
            ids_BN[row, : len(own)] = torch.tensor(own)
        starts_B = torch.tensor([self.lengths[slot] for slot in slots])
        span = int(starts_B.max()) + width
        places_BN = starts_B[:, None] + torch.arange(width)
        every = list(slots) == list(range(len(slots)))
        rows_B = None if every else torch.tensor(slots, device=self.device)
        self.cache.decode(starts_B.to(self.device), span, rows_B)
        # what pads a row lies behind its tokens, which do not see it, and is written over next time
        distance_BNS = (places_BN[:, :, None] - torch.arange(span)).to(self.device)
        states_BND = decoder(self.model)(
            input_ids=ids_BN.to(self.device),
            position_ids=places_BN.to(self.device),
            attention_mask=attention_masks(self.model, distance_BNS >= 0, distance_BNS),
            past_key_values=self.cache,
            use_cache=True,
        )[0]
        for row, slot in enumerate(slots):
            self.lengths[slot] += len(tokens[row])
            self.passes[slot] += 1
        return [states_BND[row, : len(own)] for row, own in enumerate(tokens)]
