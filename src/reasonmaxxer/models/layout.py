"""Which tokens of a row of several stems may see which, in the form that each attention kernel takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

Layout = Sequence[Sequence[int]]
"""Lengths in a row: for each prompt its tokens, then those of each of its completions."""


@dataclass(frozen=True)
class Segments:
    """Branches as a kernel of variable lengths takes them: N runs of queries, each with a run of keys.

    Attributes:
        key_S: places in the row of the keys of all runs, int32; a prompt's are there once a completion.
        query_ends: where each run's queries end, int32 [N + 1] from 0.
        key_ends: where its keys end among `key_S`, int32 [N + 1] from 0.
        longest_query: queries of the longest run.
        longest_key: keys of the longest run.
    """

    key_S: Tensor
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int


class RowLayout:
    """A row's layout; what a kernel needs of it is made when the first layer asks, and serves them all.

    Args:
        stems: what the row holds.
        device: where it is read.
    """

    def __init__(self, stems: Layout, device: torch.device) -> None:
        self.stems = stems
        self.device = device

    def branches(self) -> Iterator[tuple[slice, slice]]:
        """Prompts and completions in turn: where each lies, and the prompt before it (of a prompt, none).

        One without tokens, of a sequence cut at its prompt, is left out.
        """
        start = 0
        for stem in self.stems:
            shared = slice(start, start)
            for number, size in enumerate(stem):
                own = slice(start, start + size)
                if size:
                    yield own, shared
                if number == 0:
                    shared = own
                start = own.stop

    @cached_property
    def mask(self) -> Tensor:
        """Bool [1, 1, T, T]: each token sees its stem's prompt and its own past."""
        sizes = [size for stem in self.stems for size in stem]
        firsts = np.cumsum([0, *map(len, self.stems)])[:-1]  # a stem's prompt is its first branch
        prompts = np.repeat(firsts, [len(stem) for stem in self.stems])
        branch_T, prompt_T = self._sent(np.repeat([range(len(sizes)), prompts], sizes, axis=1))
        seen_TT: Tensor = (branch_T[:, None] == branch_T) | (prompt_T[:, None] == branch_T)
        return seen_TT.tril()[None, None]

    @cached_property
    def segments(self) -> Segments:
        """The branches, each with its prompt's keys and its own."""
        keys = [np.r_[prompt, own] for own, prompt in self.branches()]
        queries = [own.stop - own.start for own, _ in self.branches()]
        sizes = [len(places) for places in keys]
        parts = np.cumsum([0, *queries]), np.cumsum([0, *sizes]), np.concatenate(keys)
        lengths = [len(part) for part in parts]
        query_ends, key_ends, key_S = torch.split(self._sent(np.concatenate(parts)), lengths)
        return Segments(key_S, query_ends, key_ends, max(queries), max(sizes))

    def _sent(self, numbers: np.ndarray) -> Tensor:
        """Int32 on the device, all in one copy that the host does not wait for."""
        return torch.from_numpy(numbers.astype(np.int32)).to(self.device, non_blocking=True)
