"""A model that reads tokens a few at a time at positions of one's choosing, and can go back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.models.cache import SlotCache
from reasonmaxxer.models.head import decoder
from reasonmaxxer.models.prefill import next_prompts, read_on, read_together
from reasonmaxxer.models.reading import reading


class Reader:
    """One model with slots for several texts at a time; texts take them in order.

    Args:
        model: a causal LM as it stands.
        prompts: of all texts; one that is its neighbours', too, is read once for them.
        slots: texts at work at once.
        room: tokens that may be read behind the longest prompt.

    Attributes:
        lengths: tokens of each slot's text that the model has read; lower one to go back.
        passes: forward passes of each slot's text so far.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], slots: int, room: int) -> None:
        self.model = model
        self.prompts = [tuple(prompt) for prompt in prompts]
        self.taken = 0
        self.lengths = [0] * slots
        self.passes = [0] * slots
        self.read_prompts: dict[tuple[int, ...], int] = {}  # those read last, and their rows
        self.states_PD = torch.empty(0)
        layers = model.config.get_text_config().num_hidden_layers
        self.capacity = max(map(len, prompts)) + room
        self.cache = SlotCache(layers, slots, self.capacity)
        self.alone = reading(model) == "alone"  # then there is no cache: a text is read whole every time
        self.texts: list[tuple[int, ...]] = [()] * slots

    @property
    def device(self) -> torch.device:
        """Where the model is now: one that takes turns with another moves."""
        return self.model.device  # type: ignore[no-any-return]

    @torch.inference_mode()
    def admit(self, slots: Sequence[int]) -> Tensor:
        """Give slots to the next texts; the states [slots, D] that predict what follows their prompts."""
        states = []
        for slot in slots:
            prompt = self.prompts[self.taken]
            self.lengths[slot] = 0
            states.append(self._whole(slot, prompt)[-1] if self.alone else self._admit(slot, prompt))
            self.lengths[slot], self.passes[slot] = len(prompt), 1
            self.taken += 1
        return torch.stack(states)

    def _admit(self, slot: int, prompt: tuple[int, ...]) -> Tensor:
        if prompt not in self.read_prompts:
            self.read_prompts = next_prompts(self.prompts[self.taken :], self.device)
            self.states_PD = read_together(self.model, self.cache, list(self.read_prompts))
        row = self.read_prompts[prompt]
        self.cache.admit(slot, row, len(prompt))
        return self.states_PD[row]

    def _whole(self, slot: int, tokens: Sequence[int]) -> Tensor:
        """The states behind each of the next tokens of a slot, its text read from the beginning."""
        text = self.texts[slot] = (*self.texts[slot][: self.lengths[slot]], *tokens)
        ids_1T = torch.tensor([text], device=self.device)
        states_1TD: Tensor = decoder(self.model)(input_ids=ids_1T, use_cache=False)[0]
        return states_1TD[0, -len(tokens) :]

    @torch.inference_mode()
    def read(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read the next tokens of some slots, each in one forward pass.

        Args:
            slots: any, each once.
            tokens: at least one for each of them.

        Returns:
            The states [tokens, D] behind each of the tokens, by slot as asked.
        """
        states: dict[int, Tensor] = {}
        for group in self._fitting(slots, tokens):
            states.update(zip(group, self._read([slots[i] for i in group], [tokens[i] for i in group]), strict=True))
        for slot, own in zip(slots, tokens, strict=True):
            self.lengths[slot] += len(own)
            self.passes[slot] += 1
        return [states[i] for i in range(len(slots))]

    def _fitting(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows to read together: padded to the longest of them, at most twofold and within their slots."""
        groups: list[list[int]] = []
        for row in sorted(range(len(slots)), key=lambda row: -len(tokens[row])):
            widest = min(self.capacity - self.lengths[slots[row]], 2 * len(tokens[row]))
            group = next((g for g in groups if len(tokens[g[0]]) <= widest), None)
            if group is None:
                groups.append([row])
            else:
                group.append(row)
        return [sorted(group) for group in groups]

    def _read(self, slots: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Tensor]:
        if self.alone:
            return [self._whole(slot, own) for slot, own in zip(slots, tokens, strict=True)]
        width = max(map(len, tokens))
        ids_BN = torch.zeros(len(slots), width, dtype=torch.long)
        for row, own in enumerate(tokens):
            ids_BN[row, : len(own)] = torch.tensor(own)
        starts = [self.lengths[slot] for slot in slots]
        starts_B = torch.tensor(starts, device=self.device)
        every = list(slots) == list(range(len(slots)))
        rows_B = None if every else torch.tensor(slots, device=self.device)
        # what pads a row is written over next time
        states_BND = read_on(
            decoder(self.model), self.cache, ids_BN.to(self.device), starts_B, max(starts) + width, rows_B
        )[0]
        return [states_BND[row, : len(own)] for row, own in enumerate(tokens)]
