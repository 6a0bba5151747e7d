"""The figures of a finished run, gathered from its stages: what `summary.json` holds (schema 1)."""

from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from typing_extensions import NotRequired

from reasonmaxxer.config import Recipe
from reasonmaxxer.measure.metrics import Difference, paired_difference
from reasonmaxxer.measure.rollouts import (
    Metrics,
    greedy_metrics,
    outcomes_by_problem,
    rollout_summary,
    sampled_metrics,
)
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work.records import (
    GateValues,
    RolloutCounts,
    SelectionCounts,
    SignalCounts,
    TrainingCounts,
    TrainingRecord,
)
from reasonmaxxer.work.workspace import Ledger, Workspace

SCHEMA = 1
ARMS = ("base", "adapted")


class ArmSummary(TypedDict):
    """One model on the test problems: metrics by name (`pass@1`), and the health of all its completions."""

    greedy: Metrics
    sampled: Metrics
    truncated_share: float
    outcomes: dict[str, int]
    wrong_by_kind: NotRequired[dict[str, int]]


class PairedDifference(Difference):
    """Adapted minus base, over the same problems."""

    gained_problems: list[str]
    lost_problems: list[str]


class Differences(TypedDict):
    """By kind of decoding."""

    greedy: PairedDifference


class TrainingSummary(TrainingRecord):
    """The training behind the chosen checkpoint, with the seconds that the whole stage took."""

    seconds: float


class RunSummary(TypedDict):
    """`summary.json` of a run; `docs/artifacts.md` explains each entry."""

    schema: int
    model: dict[str, str]
    base: ArmSummary
    adapted: ArmSummary
    difference: Differences
    rollouts: RolloutCounts | None
    selection: SelectionCounts | None
    gate: GateValues | None
    training: TrainingSummary
    cost: Ledger
    environment: dict[str, Any]


def summarise(workspace: Workspace, environment: dict[str, Any]) -> RunSummary:
    """The figures of a run whose stages are all complete.

    Args:
        workspace: the run directory.
        environment: of `describe_environment`.
    """
    recipe, folder = cast(Recipe, workspace.config), workspace.path / "evaluation"
    rollouts, signal = (workspace.counts(s) if workspace.is_done(s) else None for s in ("rollouts", "signal"))
    training: TrainingCounts = workspace.counts("training")
    ledger = workspace.ledger()
    seconds = next(cost["seconds"] for cost in ledger["stages"] if cost["stage"] == "training")
    return RunSummary(
        schema=SCHEMA,
        model=workspace.counts("evaluation")["model"],
        base=_arm(folder, "base", recipe),
        adapted=_arm(folder, "adapted", recipe),
        difference={"greedy": _difference(folder, recipe)},
        rollouts=rollouts,
        selection=signal and _selection(signal),
        gate=training["gate"],
        training=_training(training, seconds),
        cost=ledger,
        environment=environment,
    )


def _selection(signal: SignalCounts) -> SelectionCounts:
    return SelectionCounts(problems=signal["problems"], sequences=signal["sequences"], tokens=signal["tokens"])


def _training(counts: TrainingCounts, seconds: float) -> TrainingSummary:
    values = {key: value for key, value in counts.items() if key != "gate"}
    return cast(TrainingSummary, {**values, "seconds": seconds})


def _arm(folder: Path, arm: str, recipe: Recipe) -> ArmSummary:
    config, seed = recipe.evaluation, recipe.seed
    greedy = read_rollouts(folder / f"{arm}-greedy")
    sampled = read_rollouts(folder / f"{arm}-sampled") if config.samples else []
    health = rollout_summary(greedy + sampled)
    found = {name: health[name] for name in ("truncated_share", "outcomes", "wrong_by_kind") if name in health}
    return cast(
        ArmSummary,
        {
            "greedy": greedy_metrics(greedy, config, seed),
            "sampled": sampled_metrics(sampled, config, seed) if sampled else {},
            **found,
        },
    )


def _difference(folder: Path, recipe: Recipe) -> PairedDifference:
    config = recipe.evaluation
    base, adapted = (outcomes_by_problem(read_rollouts(folder / f"{arm}-greedy")) for arm in ARMS)
    names = list(base)
    difference = paired_difference(
        np.array([base[name] for name in names], dtype=float),
        np.array([adapted[name] for name in names], dtype=float),
        config.bootstrap,
        config.confidence,
        recipe.seed,
    )
    return PairedDifference(
        **difference,
        gained_problems=[n for n in names if adapted[n] and not base[n]],
        lost_problems=[n for n in names if base[n] and not adapted[n]],
    )
