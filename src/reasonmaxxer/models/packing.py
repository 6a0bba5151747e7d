"""Several sequences in one row: those of one problem share its prompt, which is read once.

A row is a few stems side by side. A stem holds a prompt and then completions, each of which attends to
the prompt and to itself, at the positions it would have alone. Hidden states are those of the sequences
read one by one; a long row spends less on everything that is not a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reasonmaxxer.models.sizes import sizes


@dataclass(frozen=True)
class Stem:
    """A prompt and completions of it.

    Attributes:
        members: which sequences it holds.
        prompt: ids of their common prompt.
        completions: ids of each one's completion.
    """

    members: tuple[int, ...]
    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Tokens of the prompt, then of each completion."""
        return [len(self.prompt), *map(len, self.completions)]

    @property
    def ids(self) -> np.ndarray:
        """Tokens in the order they are laid out, int64 [T]."""
        return np.concatenate([self.prompt, *self.completions]).astype(np.int64)

    @property
    def positions(self) -> np.ndarray:
        """Position of each token within its own sequence, int64 [T]."""
        start = len(self.prompt)
        own = [np.arange(start, start + len(c)) for c in self.completions]
        return np.concatenate([np.arange(start), *own])

    def places(self, number: int) -> np.ndarray:
        """Where in the stem the tokens of its sequence of that number lie, int64."""
        start = sum(self.sizes[: number + 1])
        completion = np.arange(start, start + len(self.completions[number]))
        return np.concatenate([np.arange(len(self.prompt)), completion])


Row = tuple[Stem, ...]


def pack(sequences: Sequence[tuple[Sequence[int], Sequence[int]]], device: str = "cpu") -> list[Row]:
    """Rows of neighbouring sequences, each within `Sizes.row_tokens`.

    Args:
        sequences: prompt ids and completion ids of each; a longer one than that has a row alone.
        device: type of the one that reads them.
    """
    rows: list[list[Stem]] = []
    room = 0
    for index, (prompt, completion) in enumerate(sequences):
        own = (tuple(completion),)
        last = rows[-1][-1] if rows else None
        if last is not None and last.prompt == tuple(prompt) and len(completion) <= room:
            rows[-1][-1] = Stem((*last.members, index), last.prompt, last.completions + own)
            room -= len(completion)
            continue
        stem = Stem((index,), tuple(prompt), own)
        if len(stem) > room:
            rows.append([])
            room = sizes(device).row_tokens
        rows[-1].append(stem)
        room -= len(stem)
    return [tuple(row) for row in rows]
