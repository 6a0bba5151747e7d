"""Several sequences in one row: those of one problem share its prompt, which is read once.

A row is a few stems side by side. A stem holds a prompt and then completions, each of which attends to
the prompt and to itself, at the positions it would have alone. Hidden states are those of the sequences
read one by one; a long row spends less on everything that is not a matrix product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from reasonmaxxer.models.sizes import sizes


@dataclass
class Stem:
    """A prompt and completions of it.

    Attributes:
        prompt: ids of their common prompt.
        members: which sequences it holds.
        completions: ids of each one's completion.
    """

    prompt: tuple[int, ...]
    members: list[int] = field(default_factory=list)
    completions: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """Tokens of the prompt, then of each completion."""
        return [len(self.prompt), *map(len, self.completions)]


@dataclass
class Row:
    """Stems side by side, T tokens in all."""

    stems: list[Stem]

    @property
    def layout(self) -> list[list[int]]:
        """Tokens of the prompt and of each completion, by stem."""
        return [stem.sizes for stem in self.stems]

    def ids(self) -> np.ndarray:
        """Tokens in the order they are laid out, int64 [T]."""
        parts = (part for stem in self.stems for part in (stem.prompt, *stem.completions))
        return np.concatenate([np.array(part, dtype=np.int64) for part in parts])

    def positions(self) -> np.ndarray:
        """Position of each token within its own sequence, int64 [T]."""
        starts = ((0, *[len(stem.prompt)] * len(stem.completions)) for stem in self.stems)
        branches = zip(np.concatenate(list(starts)), np.concatenate(self.layout), strict=True)
        return np.concatenate([np.arange(start, start + size) for start, size in branches])

    def members(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Number, tokens of the prompt, and places in the row (int64) of each sequence."""
        start = 0
        for stem in self.stems:
            ends = start + np.cumsum(stem.sizes)
            prompt = np.arange(start, ends[0])
            for number, first, last in zip(stem.members, ends[:-1], ends[1:], strict=True):
                yield number, len(prompt), np.concatenate([prompt, np.arange(first, last)])
            start = ends[-1]


def pack(sequences: Sequence[tuple[Sequence[int], Sequence[int]]], device: str = "cpu") -> list[Row]:
    """Rows of neighbouring sequences, each within `Sizes.row_tokens`.

    Args:
        sequences: prompt ids and completion ids of each; a longer one than that has a row alone.
        device: type of the one that reads them.
    """
    rows: list[Row] = []
    room = 0
    for number, (prompt, completion) in enumerate(sequences):
        last = rows[-1].stems[-1] if rows else None
        if last is None or last.prompt != tuple(prompt) or len(completion) > room:
            last = Stem(tuple(prompt))
            if len(prompt) + len(completion) > room:
                rows.append(Row([]))
                room = sizes(device).row_tokens
            rows[-1].stems.append(last)
            room -= len(prompt)
        last.members.append(number)
        last.completions.append(tuple(completion))
        room -= len(completion)
    return rows
