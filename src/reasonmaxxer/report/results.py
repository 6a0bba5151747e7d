"""What the folder of a finished run says, gathered for the report; no model is loaded."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.config import EvaluationConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.metrics import Estimate
from reasonmaxxer.measure.rollouts import checkpoint_accuracy
from reasonmaxxer.report.content import Answer, Example
from reasonmaxxer.rollouts.collect import read_columns
from reasonmaxxer.work.folder import finished_run

CHANGES = {(False, True): "gained", (True, False): "lost", (True, True): "both", (False, False): "neither"}
"""What became of a problem, by whether base and adapted model solve it."""


@dataclass(frozen=True)
class PoolProblem:
    """A training problem as the base answered it.

    Attributes:
        problem_id: its id.
        correct: rollouts that are right.
        rollouts: all of them.
        kept: whether the adapter was trained on it.
    """

    problem_id: str
    correct: int
    rollouts: int
    kept: bool


@dataclass(frozen=True)
class Results:
    """A finished run, read.

    Attributes:
        path: its folder.
        summary: `summary.json`.
        recipe: `recipe.yaml`, resolved.
        gates: every gate that was trained, in order.
    """

    path: Path
    summary: dict[str, Any]
    recipe: dict[str, Any]
    gates: list[dict[str, Any]]

    @property
    def chosen_gate(self) -> int:
        """Number of the gate that the validation problems chose."""
        return int(self.summary["training"]["gate_number"])

    @property
    def gate(self) -> dict[str, Any]:
        """That gate, as it was fixed over the rollouts of the base; each later round fixes it anew over its own."""
        return self.gates[self.chosen_gate]

    @cached_property
    def pool(self) -> list[PoolProblem]:
        """The training problems, in order."""
        rewards: dict[str, list[bool]] = defaultdict(list)
        for row in read_columns(self.path / "rollouts", ("problem_id", "outcome")):
            rewards[row["problem_id"]].append(row["outcome"] == "correct")
        taught = read_table(self.path / "signal" / "examples.parquet", ["problem_id"])
        kept = set(taught["problem_id"].to_pylist())
        return [PoolProblem(name, sum(r), len(r), name in kept) for name, r in rewards.items()]

    @cached_property
    def entropy(self) -> np.ndarray:
        """Entropy of the base at every completion token of the rollouts that teach, nats."""
        table = read_table(self.path / "signal" / "examples.parquet", ["entropy"])
        flat: np.ndarray = table["entropy"].combine_chunks().flatten().to_numpy()
        return flat

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Training metrics, one row a step and gate."""
        rows: list[dict[str, Any]] = read_table(self.path / "training" / "history.parquet").to_pylist()
        return rows

    @cached_property
    def validation(self) -> dict[tuple[int, int], Estimate]:
        """Accuracy of every checkpoint on the validation problems, by gate and step, in order of training."""
        rows = read_table(self.path / "training" / "validation.parquet").to_pylist()
        return checkpoint_accuracy(rows, EvaluationConfig(**self.recipe["evaluation"]), self.recipe["seed"])

    @cached_property
    def examples(self) -> list[Example]:
        """The test problems, in order, with both greedy completions."""
        problems = read_table(
            self.path / "problems" / "test.parquet", ["id", "text", "answer", "verifier"]
        ).to_pylist()
        base, adapted = (self._greedy(arm) for arm in ("base", "adapted"))
        return [_example(p, base[p["id"]], adapted[p["id"]]) for p in problems]

    def _greedy(self, arm: str) -> dict[str, Answer]:
        columns = ("problem_id", "text", "outcome", "extracted", "finish_reason", "detail")
        rows = read_columns(self.path / "evaluation" / f"{arm}-greedy", columns)
        return {
            r["problem_id"]: Answer(
                arm, r["text"], r["outcome"], r["extracted"], r["finish_reason"] == "length", r.get("detail")
            )
            for r in rows  # of version 0.2 and before without detail
        }


def _example(problem: dict[str, Any], base: Answer, adapted: Answer) -> Example:
    kind = CHANGES[base.outcome == "correct", adapted.outcome == "correct"]
    return Example(
        kind, problem["id"], problem["text"], problem["answer"], (base, adapted), problem["verifier"] == "code"
    )


def read_results(run: Path) -> Results:
    """Open the folder of a finished run; its tables are read when they are asked for.

    Raises:
        UserError: it is no run directory, or its run is not finished.
    """
    summary, recipe = finished_run(run)
    summary["training"].setdefault("rounds", [])  # of version 0.2 and before without
    method = recipe["training"]["method"]
    if method != "reasonmaxxer":
        raise UserError(
            f"{run} is a run of {method}, which has no report of its own: `reasonmaxxer compare` shows it "
            "beside others."
        )
    return Results(
        path=run, summary=summary, recipe=recipe, gates=read_json(run / "signal" / "stage.json")["counts"]["gates"]
    )
