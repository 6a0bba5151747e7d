"""The numbers of a comparison: accuracy, paired differences, pass@k, and cost to reach an accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from typing_extensions import NotRequired

from reasonmaxxer.cost import StageCost
from reasonmaxxer.measure.arms import BASE, Arm, Point, Run
from reasonmaxxer.measure.metrics import bootstrap, mcnemar
from reasonmaxxer.measure.rivals import Rival

SCHEMA = 1
UNITS = ("flops", "seconds", "usd")
RESAMPLES, CONFIDENCE = 10_000, 0.95
RATIO_RESAMPLES = 1000
"""A ratio of costs is dear to compute."""
Values = dict[str, Any]
"""`value`, `low` and `high` of an estimate, and what stands beside them."""


class Comparison(TypedDict):
    """What `comparison.json` holds; `docs/artifacts.md` explains each entry."""

    schema: int
    model: dict[str, Any]
    test_problems: int
    sampled_problems: int
    protocol: dict[str, Any]
    arms: list[dict[str, Any]]
    ratios: list[dict[str, Any]]
    without_training: NotRequired[list[dict[str, Any]]]


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoints of all seeds: step, what had been spent by then, and outcomes [validation problems], all means."""

    step: int
    spent: Values
    correct_P: np.ndarray


def compare(arms: Sequence[Arm], rivals: Sequence[Rival] = ()) -> Comparison:
    """Compare arms with their base, and the costs of all with those of the first.

    Args:
        arms: of `read_arms`, the base first.
        rivals: of `read_rivals`, which need no training.
    """
    base = arms[0]
    first = arms[1].runs[0]
    problems = list(base.answers[0].greedy)
    sampled = [arm for arm in arms if any(arm.samples([p]) for p in problems)]
    drawn = [p for p in problems if sampled and min(arm.samples([p]) for arm in sampled) > 0]
    evaluation = first.recipe["evaluation"]
    found: Comparison = {
        "schema": SCHEMA,
        "model": first.model,
        "test_problems": len(problems),
        "sampled_problems": len(drawn),
        "protocol": {
            "prompt_style": first.recipe["problems"]["prompt_style"],
            **{k: evaluation[k] for k in ("temperature", "top_p", "max_new_tokens")},
            "confidence": CONFIDENCE,
        },
        "arms": [_arm(arm, base, problems, drawn) for arm in arms],
        "ratios": _ratios(arms),
    }
    if rivals:
        found["without_training"] = _without_training(arms, rivals, problems)
    return found


def _without_training(arms: Sequence[Arm], rivals: Sequence[Rival], problems: list[str]) -> list[dict[str, Any]]:
    """Every way to answer the test problems: the base's greedily, rivals, and arms greedily, each paired with two."""
    trained = [_greedily(arm, problems) for arm in arms]
    base, first = trained[0], trained[1]
    return [
        {
            "name": way.name,
            "folder": str(way.folder) if way.folder else None,
            "accuracy": _estimate(way.right_P),
            "minus_base": _estimate(way.right_P - base.right_P),
            "first_minus": _estimate(first.right_P - way.right_P),
            "tokens": way.tokens,
            "flops": way.flops,
        }
        for way in (base, *rivals, *trained[1:])
    ]


def _greedily(arm: Arm, problems: list[str]) -> Rival:
    tokens, flops = (float(np.mean([getattr(a, name) for a in arm.answers])) for name in ("tokens", "flops"))
    return Rival(f"{arm.name}, greedy", None, arm.greedy(problems).mean(0), tokens, flops)


def _arm(arm: Arm, base: Arm, problems: list[str], drawn: list[str]) -> dict[str, Any]:
    outcomes = arm.greedy(problems)
    values: dict[str, Any] = {
        "name": arm.name,
        "seeds": arm.seeds,
        "runs": [str(run.path) for run in arm.runs],
        "greedy": _estimate(outcomes.mean(0)) | {"by_seed": outcomes.mean(1).tolist()},
        "truncated_share": float(np.mean([a.truncated for a in arm.answers])),
        "pass_at": _pass_at(arm, base, drawn),
    }
    if arm.name == BASE:
        return values
    difference = outcomes.mean(0) - base.greedy(problems).mean(0)
    values["difference"] = _estimate(difference)
    if len(arm.seeds) == 1:
        gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
        values["difference"] |= {"gained": gained, "lost": lost, "p_value": mcnemar(gained, lost)}
    return values | {
        "method": arm.runs[0].recipe["training"]["method"],
        "cost": _spent([run.cost for run in arm.runs]),
        "validation_cost": _spent([run.validation for run in arm.runs]),
        "curve": [{"step": c.step, **c.spent, **_estimate(c.correct_P)} for c in _curve(arm.runs)],
    }


def _pass_at(arm: Arm, base: Arm, drawn: list[str]) -> list[Values]:
    """pass@k at powers of two, with the paired difference to the base where both drew enough."""
    rows: list[Values] = []
    k = 1
    while drawn and k <= arm.samples(drawn):
        found = arm.pass_at(k, drawn)
        row: Values = {"k": k, **_estimate(found)}
        if arm.name != BASE and k <= base.samples(drawn):
            row["difference"] = _estimate(found - base.pass_at(k, drawn))
        rows.append(row)
        k *= 2
    return rows


def crossing(arm: Mapping[str, Any]) -> int | None:
    """Smallest k at which the base is ahead after it was behind; None if there is none.

    Args:
        arm: an entry of `arms`.
    """
    behind = False
    for row in arm["pass_at"]:
        difference = row.get("difference", {}).get("value", 0.0)
        if behind and difference < 0:
            return int(row["k"])
        behind = behind or difference > 0
    return None


def _spent(costs: Sequence[StageCost]) -> Values:
    """Mean over seeds of what something cost; `usd` is None where one had no price."""
    by_unit = {name: [getattr(cost, name) for cost in costs] for name in ("tokens", *UNITS)}
    return {name: None if None in values else float(np.mean(values)) for name, values in by_unit.items()}


def _estimate(values: np.ndarray) -> Values:
    return {**bootstrap(values, RESAMPLES, CONFIDENCE, 0)}


def _curve(runs: Sequence[Run]) -> list[Checkpoint]:
    """Checkpoints as means over the seeds; none where the seeds were validated on other problems."""
    ids = _validated(runs[0])
    if any(_validated(run) != ids for run in runs):
        return []
    checkpoints = []
    for points in _side_by_side(runs):
        correct_P = np.mean([[point.correct[i] for i in ids] for point in points], 0)
        step = round(float(np.mean([point.step for point in points])))
        checkpoints.append(Checkpoint(step, _spent([point.cost for point in points]), correct_P))
    return checkpoints


def _side_by_side(runs: Sequence[Run]) -> Iterator[list[Point]]:
    """Checkpoints of all seeds that belong together, though seeds may differ in their steps.

    They are matched from the last backwards; those of rounds from the first on, where a seed whose rounds ended
    early stays at its last.
    """
    lengths = [len(run.curve) for run in runs]
    in_rounds = runs[0].recipe["rounds"] > 1
    for number in range(max(lengths)) if in_rounds else range(-min(lengths), 0):
        yield [run.curve[min(number, len(run.curve) - 1)] for run in runs]


def _validated(run: Run) -> list[str]:
    """Validation problems of a run."""
    return list(run.curve[-1].correct)


def _ratios(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """What every other arm with checkpoints costs, as a multiple of the first arm's cost, to be as right.

    The accuracy is the first arm's at its last checkpoint, on the validation problems; the other arm's
    cost is read from its curve, linear between checkpoints. The interval resamples problems.
    """
    reference, *others = arms[1:]
    curve, ids = _curve(reference.runs), _validated(reference.runs[0])
    ratios = []
    for arm in others:
        rival = _curve(arm.runs)
        if curve and rival and _validated(arm.runs[0]) == ids:
            by_unit = {unit: _ratio(curve[-1], rival, unit) for unit in UNITS}
            ratios.append(
                {
                    "of": arm.name,
                    "to": reference.name,
                    "accuracy": float(curve[-1].correct_P.mean()),
                    "validation_problems": len(ids),
                    **{unit: ratio for unit, ratio in by_unit.items() if ratio},
                }
            )
    return ratios


def _ratio(target: Checkpoint, rival: Sequence[Checkpoint], unit: str) -> Values | None:
    """Cost of a rival to be as right as a checkpoint, by that checkpoint's cost; None where either has no price."""
    own, costs = target.spent[unit], [c.spent[unit] for c in rival]
    if not own or None in costs:
        return None
    outcomes_CP, target_P = np.array([c.correct_P for c in rival]), target.correct_P
    costs_C = np.array(costs)

    def multiple(pick_P: np.ndarray) -> float:
        reached = cost_to_reach(costs_C, outcomes_CP[:, pick_P].mean(1), float(target_P[pick_P].mean()))
        return reached / float(own)

    problems = len(target_P)
    generator = np.random.Generator(np.random.Philox(0))
    drawn = [multiple(generator.integers(problems, size=problems)) for _ in range(RATIO_RESAMPLES)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    return {
        "value": _finite(multiple(np.arange(problems))),
        "low": _finite(low),
        "high": _finite(high),
        "not_reached": float(np.mean(np.isinf(drawn))),
    }


def cost_to_reach(costs: np.ndarray, accuracies: np.ndarray, target: float) -> float:
    """Cost at which a curve first is as accurate as asked, linear between its points.

    Args:
        costs: [checkpoints], rising.
        accuracies: [checkpoints].
        target: accuracy to reach.

    Returns:
        The first point's cost if that is enough, infinity if no point is.
    """
    reached = np.flatnonzero(accuracies >= target)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    if i == 0 or accuracies[i] == accuracies[i - 1]:
        return float(costs[i])
    part = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
    return float(costs[i - 1] + part * (costs[i] - costs[i - 1]))


def _finite(value: float) -> float | None:
    """JSON has no infinity: not reached is null."""
    return float(value) if np.isfinite(value) else None
