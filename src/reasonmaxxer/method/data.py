"""From examples to batches: rows of tokens, and which of their hidden states the loss looks at."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.method.base_states import row_key
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.selection import Example
from reasonmaxxer.models.packing import Row, pack


def training_rows(examples: Sequence[Example], gate: Gate) -> list[dict[str, Any]]:
    """Rows for `ReasonMaxxerTrainer`: each example with the gate's decision points."""
    return [
        {
            "prompt_ids": example.prompt_ids,
            "completion_ids": example.completion_ids,
            "advantage": example.advantage,
            "decision": gate.decisions(example.entropy, example.key).tolist(),
            "base_logprob": example.logprob,
        }
        for example in examples
    ]


@dataclass(frozen=True)
class Member:
    """A sequence of a row.

    Attributes:
        sequence: the row of the data set that it is.
        start: where its completion begins within it.
        places: where in the row its tokens lie, int64.
    """

    sequence: dict[str, Any]
    start: int
    places: np.ndarray


@dataclass
class PackedCollator:
    """Packs sequences into rows; a subclass adds what its loss needs of their hidden states.

    A sequence has `prompt_ids` and `completion_ids`. Rows are read one after the other, so there is
    no padding. Of several processes that are given the same sequences, each makes rows of its share.

    Attributes:
        max_length: tokens kept of a sequence, cut on the right.
        process: which of the processes this is.
        processes: that share the sequences.
        device: type of the one that reads the rows.
    """

    max_length: int
    process: int = field(default=0, kw_only=True)
    processes: int = field(default=1, kw_only=True)
    device: str = field(default="cpu", kw_only=True)

    def __call__(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: `sequences`, how many all processes share, and `rows`, each of T tokens with

        - `input_ids`, `position_ids`, int64 [1, T]: tokens, and their positions within their sequence
        - `layout`: of each stem, the tokens of its prompt and of each completion
        - `key`: bytes that tell the row from all others
        - what `targets` says of its sequences

        All processes have as many rows: weights that are gathered for a row are gathered by all of them.
        """
        # neighbours stay together: those of one problem share its prompt
        bounds = [len(sequences) * process // self.processes for process in range(self.processes + 1)]
        shares = [sequences[start:end] for start, end in itertools.pairwise(bounds)]
        packed = [pack([self._cut(sequence) for sequence in share], self.device) for share in shares]
        rows = [self._row(row, shares[self.process]) for row in packed[self.process]]
        rows += [self._idle_row(sequences[0])] * (max(map(len, packed)) - len(rows))
        return {"rows": rows, "sequences": len(sequences)}

    def targets(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """What the loss of a row needs."""
        raise NotImplementedError

    def _row(self, row: Row, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        ids_T = row.ids()
        return {
            "input_ids": torch.from_numpy(ids_T)[None],
            "position_ids": torch.from_numpy(row.positions())[None],
            "layout": row.layout,
            "key": row_key(ids_T, row.layout),
            **self.targets([Member(sequences[number], start, places) for number, start, places in row.members()]),
        }

    def _idle_row(self, sequence: dict[str, Any]) -> dict[str, Any]:
        """The start of a sequence, of which the loss looks at nothing."""
        prompt, completion = self._cut(sequence)
        (row,) = pack([(prompt[:1], completion[:1])])
        tokens = ("input_ids", "position_ids", "layout", "key")
        values = self._row(row, [sequence]).items()
        return {name: value if name in tokens else value[:0] for name, value in values}

    def _cut(self, sequence: dict[str, Any]) -> tuple[list[int], list[int]]:
        prompt = list(sequence["prompt_ids"])[: self.max_length]
        return prompt, list(sequence["completion_ids"])[: self.max_length - len(prompt)]


@dataclass
class Collator(PackedCollator):
    """Lists the hidden states that the two terms of the ReasonMaxxer loss need.

    A sequence also has `advantage`, `decision` (a bool a completion token) and, optionally,
    `base_logprob`.

    Attributes:
        anchor_positions: `all` anchors prompt and completion, `completion` the completion alone.
    """

    anchor_positions: Literal["all", "completion"] = "all"

    def targets(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """Targets of a row:

        - `decision_index`, `decision_target`, int64 [N]: place in the row whose hidden state predicts
          each decision point, and its token; `decision_advantage`, `decision_weight` (one over the
          decision points of its sequence) and `base_logprob` (NaN where unknown), float32 [N]
        - `anchor_index` int64 [M], `anchor_weight` float32 [M]: places anchored, and the sum over the
          sequences they serve of one over that sequence's anchors
        """
        parts = [self._targets(member) for member in members]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        # a prompt's hidden states serve every sequence of its row: their weights add up
        index, inverse = np.unique(columns["anchor_index"], return_inverse=True)
        weight = np.bincount(inverse, columns["anchor_weight"], minlength=len(index))
        columns |= {"anchor_index": index, "anchor_weight": weight.astype(np.float32)}
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def _targets(self, member: Member) -> dict[str, np.ndarray]:
        """What one sequence of L tokens asks of the hidden states at its places."""
        sequence, start, place_L = member.sequence, member.start, member.places
        kept = len(place_L) - start
        decision_L = np.zeros(len(place_L), dtype=bool)
        decision_L[start:] = np.asarray(sequence["decision"], dtype=bool)[:kept]
        anchor_L = ~decision_L
        anchor_L[: 0 if self.anchor_positions == "all" else start] = False
        decision_L[:1] = anchor_L[:1] = False  # token 0 is predicted by nothing
        logprob_L = np.full(len(place_L), np.nan, dtype=np.float32)
        if sequence.get("base_logprob") is not None:
            logprob_L[start:] = sequence["base_logprob"][:kept]
        ids_L = np.concatenate([sequence["prompt_ids"][:start], sequence["completion_ids"][:kept]])
        decision_N, anchor_M = np.flatnonzero(decision_L), np.flatnonzero(anchor_L)
        count = len(decision_N)
        return {
            "decision_index": place_L[decision_N - 1],
            "decision_target": ids_L[decision_N].astype(np.int64),
            "decision_advantage": np.full(count, sequence["advantage"], dtype=np.float32),
            "decision_weight": np.full(count, 1 / max(1, count), dtype=np.float32),
            "base_logprob": logprob_L[decision_N],
            "anchor_index": place_L[anchor_M - 1],
            "anchor_weight": np.full(len(anchor_M), 1 / max(1, len(anchor_M))),
        }
