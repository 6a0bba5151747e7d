"""Final hidden states before each token of given completions, by one forward of several sequences at once.

They are D numbers a position where logits are V, so that the states of one model can wait for those of another and
both distributions be formed side by side, a few positions at a time (`models/score.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.models.head import decoder
from reasonmaxxer.models.packing import pack
from reasonmaxxer.models.reading import reading, row_states
from reasonmaxxer.models.sizes import sizes


class Tokens(Protocol):
    """A prompt, which is not empty, and its completion, as a rollout has them."""

    @property
    def prompt_ids(self) -> Sequence[int]:
        """Token ids of the prompt."""

    @property
    def completion_ids(self) -> Sequence[int]:
        """Token ids of the completion."""


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and its completion where there is no rollout."""

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]


def token_count(sequence: Tokens) -> int:
    """Tokens of prompt and completion."""
    return len(sequence.prompt_ids) + len(sequence.completion_ids)


@torch.inference_mode()
def completion_states(
    sequences: Sequence[Tokens], model: Any, on_read: Callable[[int], None] | None = None
) -> list[Tensor]:
    """Read each sequence once, by the model as it stands.

    Args:
        sequences: any number, in any order.
        model: a causal LM, PEFT-wrapped or not; put into eval mode.
        on_read: called with the tokens of each sequence, prompt included, once it is read.

    Returns:
        [T, D] of each completion of T tokens, in main memory: the states that predict them.
    """
    states: dict[int, Tensor] = {}
    for batch, hidden_ND in state_batches(sequences, model):
        sizes = [len(sequences[i].completion_ids) for i in batch]
        for i, own_TD in zip(batch, torch.split(hidden_ND, sizes), strict=True):
            states[i] = own_TD.cpu()
            if on_read:
                on_read(token_count(sequences[i]))
    return [states[i] for i in range(len(sequences))]


def state_batches(sequences: Sequence[Tokens], model: Any) -> Iterator[tuple[list[int], Tensor]]:
    """Read several sequences at once; a prompt that is others', too, is read once for a row of them.

    Args:
        sequences: any number, in any order.
        model: a causal LM, PEFT-wrapped or not; put into eval mode.

    Yields:
        Indices of the sequences read, and [N, D] states before all tokens of their completions, in that
        order.
    """
    model.eval()
    shared = _shared_prompts(sequences) if reading(model) == "layout" else []
    alone = sorted(set(range(len(sequences))) - set(shared))
    for members, read in ((shared, _shared_batches), (alone, _padded_batches)):
        for batch, hidden_ND in read([sequences[i] for i in members], model):
            yield [members[i] for i in batch], hidden_ND


def _shared_prompts(sequences: Sequence[Tokens]) -> list[int]:
    """Indices of the sequences whose prompt is another's, too, those of one prompt side by side."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, sequence in enumerate(sequences):
        groups.setdefault(tuple(sequence.prompt_ids), []).append(index)
    return [index for group in groups.values() if len(group) > 1 for index in group]


def _shared_batches(sequences: Sequence[Tokens], model: Any) -> Iterator[tuple[list[int], Tensor]]:
    """Each prompt is read once for its neighbours in a row."""
    backbone = decoder(model)

    def forward(**told: Any) -> Tensor:
        return backbone(**told).last_hidden_state  # type: ignore[no-any-return]

    device = next(backbone.parameters()).device
    for row in pack([(s.prompt_ids, s.completion_ids) for s in sequences], device.type):
        ids_1T, position_1T = (torch.from_numpy(own_T)[None].to(device) for own_T in (row.ids(), row.positions()))
        states_TD = row_states("layout", model, forward, ids_1T, position_1T, row.layout)
        members, starts, places = zip(*row.members(), strict=True)
        before = [own[start - 1 : -1] for start, own in zip(starts, places, strict=True)]
        yield list(members), states_TD[torch.from_numpy(np.concatenate(before)).to(device)]


def _padded_batches(sequences: Sequence[Tokens], model: Any) -> Iterator[tuple[list[int], Tensor]]:
    """Sequences of similar length are read together.

    They are padded on the right: a causal model's states do not depend on what follows, so the padding
    needs no mask. A model that reads one sequence at a time does so here.
    """
    backbone = decoder(model)
    device = next(backbone.parameters()).device
    limit = 0 if reading(model) == "alone" else sizes(device.type).row_tokens
    lengths = [token_count(sequence) for sequence in sequences]
    for batch in _batches(lengths, limit):
        ids_BT = torch.zeros((len(batch), lengths[batch[0]]), dtype=torch.long)
        target_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, i in enumerate(batch):
            prompt, completion = sequences[i].prompt_ids, sequences[i].completion_ids
            ids_BT[row, : lengths[i]] = torch.tensor([*prompt, *completion])
            target_BT[row, len(prompt) : lengths[i]] = True
        hidden_BTD = backbone(input_ids=ids_BT.to(device), use_cache=False).last_hidden_state
        # position t predicts token t + 1
        yield batch, hidden_BTD[:, :-1][target_BT[:, 1:].to(device)]


def _batches(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Indices, longest first, in batches of at most so many padded tokens, or of one."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        size = max(1, limit // lengths[order[0]])
        yield order[:size]
        order = order[size:]
