"""From examples to batches: rows of tokens, and which of their hidden states the loss looks at."""

from __future__ import annotations

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


def _shares(count: int, processes: int) -> list[slice]:
    """Neighbours stay together: those of one problem share its prompt."""
    bounds = [count * process // processes for process in range(processes + 1)]
    return [slice(*bound) for bound in itertools.pairwise(bounds)]


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
        shares = [sequences[part] for part in _shares(len(sequences), self.processes)]
        packed = [pack([self._cut(sequence) for sequence in share], self.device) for share in shares]
        own, share = packed[self.process], shares[self.process]
        rows = [self._row(row, share) for row in own]
        idle = max(map(len, packed)) - len(own)
        rows += [self._idle_row(sequences[0])] * idle
        return {"rows": rows, "sequences": len(sequences)}

    def targets(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """What the loss of a row needs."""
        raise NotImplementedError

    def _row(self, row: Row, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        members = []
        start = 0
        for stem in row:
            members += [
                Member(sequences[member], len(stem.prompt), start + stem.places(number))
                for number, member in enumerate(stem.members)
            ]
            start += len(stem)
        ids_T = np.concatenate([stem.ids for stem in row])
        position_T = np.concatenate([stem.positions for stem in row])
        layout = [stem.sizes for stem in row]
        return {
            "input_ids": torch.from_numpy(ids_T)[None],
            "position_ids": torch.from_numpy(position_T)[None],
            "layout": layout,
            "key": row_key(ids_T, layout),
            **self.targets(members),
        }

    def _idle_row(self, sequence: dict[str, Any]) -> dict[str, Any]:
        """The start of a sequence, of which the loss looks at nothing."""
        prompt, completion = self._cut(sequence)
        (row,) = pack([(prompt[:1], completion[:1])])
        made = self._row(row, [sequence])
        asked = made.keys() - {"input_ids", "position_ids", "layout", "key"}
        return {name: value[:0] if name in asked else value for name, value in made.items()}

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

    def __call__(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch: also `advantage`, float32, of this process's sequences."""
        batch = super().__call__(sequences)
        return {**batch, "advantage": torch.cat([row["advantage"] for row in batch["rows"]])}

    def targets(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """Targets of a row of S sequences

        - `decision_index`, `decision_target`, int64 [N]: place in the row whose hidden state predicts
          each decision point, and its token; `decision_advantage`, `decision_weight` (one over the
          decision points of its sequence) and `base_logprob` (NaN where unknown), float32 [N]
        - `anchor_index` int64 [M], `anchor_weight` float32 [M]: places anchored, and the sum over the
          sequences they serve of one over that sequence's anchors
        - `advantage` float32 [S]
        """
        targets = [self._targets(m.sequence, m.start, m.places) for m in members]
        advantages = [member.sequence["advantage"] for member in members]
        return {"advantage": torch.tensor(advantages, dtype=torch.float32), **_decisions(targets), **_anchors(targets)}

    def _targets(self, sequence: dict[str, Any], start: int, places: np.ndarray) -> _Targets:
        """What one sequence asks of the hidden states at `places`."""
        length = len(places)
        kept = length - start
        decision_T = np.zeros(length, dtype=bool)
        decision_T[start:] = np.asarray(sequence["decision"], dtype=bool)[:kept]
        anchor_T = ~decision_T
        anchor_T[: 0 if self.anchor_positions == "all" else start] = False
        decision_T[:1] = anchor_T[:1] = False  # token 0 is predicted by nothing
        logprob_T = np.full(length, np.nan, dtype=np.float32)
        if sequence.get("base_logprob") is not None:
            logprob_T[start:] = sequence["base_logprob"][:kept]
        ids = np.concatenate([sequence["prompt_ids"][:start], sequence["completion_ids"][:kept]])
        decided, anchored = np.flatnonzero(decision_T), np.flatnonzero(anchor_T)
        return _Targets(
            index=places[decided - 1],
            token=ids[decided].astype(np.int64),
            advantage=np.full(len(decided), sequence["advantage"], dtype=np.float32),
            base_logprob=logprob_T[decided],
            anchor=places[anchored - 1],
        )


@dataclass(frozen=True)
class _Targets:
    """Decision points and anchors of one sequence."""

    index: np.ndarray
    token: np.ndarray
    advantage: np.ndarray
    base_logprob: np.ndarray
    anchor: np.ndarray


def _decisions(targets: Sequence[_Targets]) -> dict[str, Tensor]:
    weights = [np.full(len(t.index), 1 / max(1, len(t.index)), np.float32) for t in targets]
    columns = {
        "decision_index": [t.index for t in targets],
        "decision_target": [t.token for t in targets],
        "decision_advantage": [t.advantage for t in targets],
        "decision_weight": weights,
        "base_logprob": [t.base_logprob for t in targets],
    }
    return {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}


def _anchors(targets: Sequence[_Targets]) -> dict[str, Tensor]:
    """A prompt's hidden states serve every sequence of its row: their weights add up."""
    places = np.concatenate([t.anchor for t in targets])
    shares = np.concatenate([np.full(len(t.anchor), 1 / max(1, len(t.anchor))) for t in targets])
    index, inverse = np.unique(places, return_inverse=True)
    weight = np.bincount(inverse, shares, minlength=len(index)).astype(np.float32)
    return {"anchor_index": torch.from_numpy(index), "anchor_weight": torch.from_numpy(weight)}
