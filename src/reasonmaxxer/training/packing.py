"""Several completions of one prompt in one row, so that the prompt is read once.

A row holds a prompt and then completions, each of which attends to the prompt and to itself, at the
positions it would have alone. Hidden states are those of the sequences read one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROW_TOKENS = 2048
"""Tokens a shared row may hold: a row is read at once, so this bounds memory where sequences are short."""

RUN = 4
"""Sequences of one problem side by side: more save little more, and a step should mix problems."""

PROMPT = 0
"""Branch of a token that belongs to no completion."""


@dataclass(frozen=True)
class Row:
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
        return len(self.prompt) + sum(map(len, self.completions))

    @property
    def ids(self) -> np.ndarray:
        """Tokens in the order they are laid out, int64 [T]."""
        return np.concatenate([self.prompt, *self.completions]).astype(np.int64)

    @property
    def branches(self) -> np.ndarray:
        """`PROMPT`, or 1, 2, ... by completion, int64 [T]."""
        sizes = [len(self.prompt), *map(len, self.completions)]
        return np.repeat(np.arange(len(sizes)), sizes)

    @property
    def positions(self) -> np.ndarray:
        """Position of each token within its own sequence, int64 [T]."""
        start = len(self.prompt)
        own = [np.arange(start, start + len(c)) for c in self.completions]
        return np.concatenate([np.arange(start), *own])

    def places(self, member: int) -> np.ndarray:
        """Where in the row the tokens of its `member`-th sequence lie, int64."""
        start = len(self.prompt) + sum(map(len, self.completions[:member]))
        completion = np.arange(start, start + len(self.completions[member]))
        return np.concatenate([np.arange(len(self.prompt)), completion])


def pack(sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Row]:
    """Rows of neighbouring sequences with the same prompt, each within `ROW_TOKENS`.

    Args:
        sequences: prompt ids and completion ids of each; a longer one than that has a row alone.
    """
    rows: list[Row] = []
    for index, (prompt, completion) in enumerate(sequences):
        own = (tuple(completion),)
        last = rows[-1] if rows else None
        if (
            last is not None
            and last.prompt == tuple(prompt)
            and len(last) + len(completion) <= ROW_TOKENS
        ):
            rows[-1] = Row((*last.members, index), last.prompt, last.completions + own)
        else:
            rows.append(Row((index,), tuple(prompt), own))
    return rows


def group_order(prompts: Sequence[Sequence[int]], seed: int) -> list[int]:
    """Order of training: shuffled, but for runs of `RUN` sequences of one problem.

    Args:
        prompts: of each sequence.
        seed: of the shuffle.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt), []).append(index)
    runs = [g[start : start + RUN] for g in groups.values() for start in range(0, len(g), RUN)]
    shuffled = np.random.default_rng(seed).permutation(len(runs))
    return [index for run in shuffled for index in runs[run]]
