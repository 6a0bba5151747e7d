"""Which gate and which checkpoint: the best pass@1 on the validation split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import schema
from reasonmaxxer.method.gate import Gate

SCHEMA = schema(
    {**dict.fromkeys(("round", "gate", "step"), pa.int32()), "problem_id": pa.string(), "correct": pa.bool_()}
)


@dataclass(frozen=True)
class Candidate:
    """One checkpoint of one gate, tried on the validation problems.

    Attributes:
        gate_index: which of the swept gates.
        gate: that gate; None for a baseline.
        step: optimiser steps behind the checkpoint.
        adapter: its PEFT folder.
        correct: each validation problem's greedy outcome, by id.
        round: of rollouts and training, from 1; `step` counts on through the rounds.
    """

    gate_index: int
    gate: Gate | None
    step: int
    adapter: Path
    correct: dict[str, bool]
    round: int = 1

    @property
    def accuracy(self) -> float:
        """Greedy pass@1."""
        return float(np.mean(list(self.correct.values())))


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Highest pass@1; ties go to the longer-trained checkpoint, then to the gate listed first."""
    return max(candidates, key=lambda c: (c.accuracy, c.step, -c.gate_index))


def candidate_table(candidates: Sequence[Candidate]) -> pa.Table:
    """Every candidate's outcome on every validation problem."""
    rows = [
        {"round": c.round, "gate": c.gate_index, "step": c.step, "problem_id": problem_id, "correct": correct}
        for c in candidates
        for problem_id, correct in c.correct.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
