"""The figures of a finished run, gathered from its stages into one JSON value (schema 1)."""

from __future__ import annotations

from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost import Price
from reasonmaxxer.measure.metrics import paired_difference
from reasonmaxxer.measure.rollouts import greedy_metrics, outcomes_by_problem, rollout_summary, sampled_metrics
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work.run_directory import RunDirectory

SCHEMA = 1
ARMS = ("base", "adapted")


def summarise(directory: RunDirectory, environment: dict[str, Any], price: Price) -> dict[str, Any]:
    """Everything `summary.json` holds; `docs/artifacts.md` explains each entry.

    Args:
        directory: a run whose stages are all complete.
        environment: of `describe_environment`.
        price: of the machine.
    """
    recipe = directory.recipe
    counts = {
        stage: directory.record(stage)["counts"] if directory.is_done(stage) else None
        for stage in ("rollouts", "signal")
    }
    selected = counts["signal"]
    training = dict(directory.record("training")["counts"])
    costs = directory.costs()
    seconds = {cost.stage: cost.seconds for cost in costs}
    return {
        "schema": SCHEMA,
        "model": directory.record("evaluation")["counts"]["model"],
        **{arm: _arm(directory.path / "evaluation", arm, recipe) for arm in ARMS},
        "difference": {"greedy": _difference(directory.path / "evaluation", recipe)},
        "rollouts": counts["rollouts"],
        "selection": selected and {n: selected[n] for n in ("problems", "sequences", "tokens")},
        "gate": training.pop("gate"),
        "training": training | {"seconds": seconds["training"]},
        "cost": {
            "stages": [cost.to_dict() for cost in costs],
            "total": reduce(add, costs).to_dict() | {"stage": "total"},
            "price": price.to_dict(),
        },
        "environment": environment,
    }


def _arm(folder: Path, arm: str, recipe: Recipe) -> dict[str, Any]:
    config, seed = recipe.evaluation, recipe.seed
    greedy = read_rollouts(folder / f"{arm}-greedy")
    made = greedy
    metrics = {"greedy": greedy_metrics(greedy, config, seed), "sampled": {}}
    if config.samples:
        sampled = read_rollouts(folder / f"{arm}-sampled")
        metrics["sampled"] = sampled_metrics(sampled, config, seed)
        made = greedy + sampled
    values: dict[str, Any] = {
        kind: {name: estimate.to_dict() for name, estimate in found.items()} for kind, found in metrics.items()
    }
    health = rollout_summary(made)
    return values | {name: health[name] for name in ("truncated_share", "outcomes")}


def _difference(folder: Path, recipe: Recipe) -> dict[str, Any]:
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
    return difference.to_dict() | {
        "gained_problems": [n for n in names if adapted[n] and not base[n]],
        "lost_problems": [n for n in names if base[n] and not adapted[n]],
    }
