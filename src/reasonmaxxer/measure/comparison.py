"""The numbers of a comparison: accuracy, paired differences, pass@k, and cost to reach an accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reasonmaxxer.measure.arms import BASE, Arm, Point
from reasonmaxxer.measure.metrics import bootstrap, mcnemar

SCHEMA = 1
UNITS = ("flops", "seconds", "usd")
RESAMPLES, CONFIDENCE = 10_000, 0.95
RATIO_RESAMPLES = 1000
"""A ratio of costs is dear to compute."""


def compare(arms: Sequence[Arm]) -> dict[str, Any]:
    """Everything `comparison.json` holds; `docs/artifacts.md` explains each entry.

    Args:
        arms: of `read_arms`, the base first.
    """
    base = arms[0]
    first = arms[1].runs[0]
    problems = list(base.answers[0].greedy)
    sampled = [arm for arm in arms if any(arm.samples([p]) for p in problems)]
    drawn = [p for p in problems if sampled and min(arm.samples([p]) for arm in sampled) > 0]
    evaluation = first.recipe["evaluation"]
    return {
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
    before = base.greedy(problems).mean(0)
    difference = outcomes.mean(0) - before
    values["difference"] = _estimate(difference)
    if len(arm.seeds) == 1:
        gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
        values["difference"] |= {"gained": gained, "lost": lost, "p_value": mcnemar(gained, lost)}
    return values | {
        "method": arm.runs[0].recipe["training"]["method"],
        "cost": _mean_cost([run.cost for run in arm.runs]),
        "validation_cost": _mean_cost([run.validation for run in arm.runs]),
        "curve": [{"step": step, **cost, **_estimate(correct)} for step, cost, correct in _curve(arm)],
    }


def _pass_at(arm: Arm, base: Arm, drawn: list[str]) -> list[dict[str, Any]]:
    """pass@k at powers of two, with the paired difference to the base where both drew enough."""
    rows: list[dict[str, Any]] = []
    k = 1
    while drawn and k <= arm.samples(drawn):
        found = arm.pass_at(k, drawn)
        row: dict[str, Any] = {"k": k, **_estimate(found)}
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


def _estimate(values: np.ndarray) -> dict[str, float]:
    return bootstrap(values, RESAMPLES, CONFIDENCE, 0).to_dict()


def _mean_cost(costs: Sequence[Any]) -> dict[str, float | None]:
    unpriced = any(cost.usd is None for cost in costs)
    return {
        name: None if name == "usd" and unpriced else float(np.mean([getattr(cost, name) for cost in costs]))
        for name in ("tokens", *UNITS)
    }


def _curve(arm: Arm) -> list[tuple[int, dict[str, float | None], np.ndarray]]:
    """Checkpoints: step and cost, and outcomes [validation problems], means over the seeds.

    Seeds may differ in their steps; they are matched from the last checkpoint backwards.
    """
    count = min(len(run.curve) for run in arm.runs)
    ids = list(arm.runs[0].curve[-1].correct)
    if any(list(run.curve[-1].correct) != ids for run in arm.runs):
        return []
    rows = []
    for number in range(-count, 0):
        points: list[Point] = [run.curve[number] for run in arm.runs]
        correct = np.mean([[p.correct[i] for i in ids] for p in points], 0)
        step = round(float(np.mean([p.step for p in points])))
        rows.append((step, _mean_cost([p.cost for p in points]), correct))
    return rows


def _ratios(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """What every other arm with checkpoints costs, as a multiple of the first arm's cost, to be as right.

    The accuracy is the first arm's at its last checkpoint, on the validation problems; the other arm's
    cost is read from its curve, linear between checkpoints. The interval resamples problems.
    """
    reference, *others = arms[1:]
    curve = _curve(reference)
    ids = list(reference.runs[0].curve[-1].correct)
    ratios = []
    for arm in others:
        rival = _curve(arm)
        if not curve or not rival or list(arm.runs[0].curve[-1].correct) != ids:
            continue
        ratios.append(
            {
                "of": arm.name,
                "to": reference.name,
                "accuracy": float(curve[-1][2].mean()),
                "validation_problems": len(ids),
                **{
                    unit: _ratio(curve, rival, unit)
                    for unit in UNITS
                    if curve[-1][1][unit] and all(cost[unit] is not None for _, cost, _ in rival)
                },
            }
        )
    return ratios


def _ratio(curve: list[Any], rival: list[Any], unit: str) -> dict[str, float | None]:
    own = curve[-1][1][unit]
    costs = np.array([cost[unit] for _, cost, _ in rival], dtype=float)
    outcomes_CP = np.array([correct for _, _, correct in rival])
    target_P = curve[-1][2]
    value = cost_to_reach(costs, outcomes_CP.mean(1), float(target_P.mean())) / own
    generator = np.random.Generator(np.random.Philox(0))
    drawn = []
    for _ in range(RATIO_RESAMPLES):
        pick = generator.integers(len(target_P), size=len(target_P))
        reached = cost_to_reach(costs, outcomes_CP[:, pick].mean(1), float(target_P[pick].mean()))
        drawn.append(reached / own)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    return {
        "value": _finite(value),
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
