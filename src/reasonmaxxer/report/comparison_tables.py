"""A comparison as tables: cells of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reasonmaxxer.cost.published import published_costs
from reasonmaxxer.measure.comparison import crossing
from reasonmaxxer.report.content import Table
from reasonmaxxer.report.numbers import number, signed

NAME = "comparison"
"""Stem of the files that a comparison leaves."""


def lead(found: dict[str, Any]) -> str:
    """What was measured, in a sentence or two."""
    protocol = found["protocol"]
    return (
        f"{found['test_problems']} test problems, answered greedily; {found['sampled_problems']} of them "
        f"sampled at temperature {protocol['temperature']}, top-p {protocol['top_p']}; at most "
        f"{protocol['max_new_tokens']} new tokens; prompt style {protocol['prompt_style']}. Intervals are "
        f"{protocol['confidence']:.0%} bootstrap over problems, each with its mean over the seeds."
    )


def tables_of(found: dict[str, Any]) -> list[Table]:
    """Every table, as cells."""
    arms = found["arms"]
    tables = [_accuracy(found), _pass_at(found), _cost(arms), _ratios(found), _published()]
    return [table for table in tables if table.rows]


def _accuracy(found: dict[str, Any]) -> Table:
    rows: list[tuple[str, ...]] = []
    for arm in found["arms"]:
        difference = arm.get("difference")
        paired = ""
        if difference and "gained" in difference:
            paired = f"{difference['gained']} / {difference['lost']}, p = {difference['p_value']:.2g}"
        rows.append(
            (
                arm["name"],
                ", ".join(map(str, arm["seeds"])),
                number(arm["greedy"], 3),
                ", ".join(f"{value:.2f}" for value in arm["greedy"]["by_seed"]),
                signed(difference) if difference else "",
                paired,
                f"{arm['truncated_share']:.0%}",
            )
        )
    return Table(
        "accuracy-table",
        "Accuracy",
        ("arm", "seeds", "greedy pass@1", "by seed", "minus base", "gained / lost", "cut"),
        rows,
        f"{found['test_problems']} test problems. Differences are paired; p: exact McNemar, of one seed. "
        "cut: completions that reach the length limit.",
    )


def _pass_at(found: dict[str, Any]) -> Table:
    drawn = [arm for arm in found["arms"] if arm["pass_at"]]
    ks = sorted({row["k"] for arm in drawn for row in arm["pass_at"]})
    rows: list[tuple[str, ...]] = []
    for arm in drawn:
        by_k = {row["k"]: row for row in arm["pass_at"]}
        crossed = crossing(arm)
        cells = [f"{by_k[k]['value']:.3f}" if k in by_k else "" for k in ks]
        difference = arm["pass_at"][-1].get("difference")
        rows.append(
            (
                arm["name"],
                *cells,
                signed(difference) if difference else "",
                str(crossed) if crossed else "none" if arm is not drawn[0] else "",
            )
        )
    return Table(
        "pass-table",
        "pass@k",
        ("arm", *(f"k = {k}" for k in ks), "last k minus base", "base overtakes at k"),
        rows,
        f"{found['sampled_problems']} test problems at temperature {found['protocol']['temperature']}, "
        f"top-p {found['protocol']['top_p']}.",
    )


def _cost(arms: Sequence[dict[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            arm["name"],
            f"{arm['cost']['tokens']:,.0f}",
            f"{arm['cost']['flops'] / 1e12:,.3g}",
            f"{arm['cost']['seconds']:,.0f}",
            "?" if arm["cost"]["usd"] is None else f"{arm['cost']['usd']:.4f}",
            f"{arm['validation_cost']['seconds']:,.0f}",
        )
        for arm in arms
        if "cost" in arm
    ]
    return Table(
        "cost-table",
        "Cost, measured",
        ("arm", "tokens", "TFLOPs", "seconds", "USD", "validation, seconds"),
        rows,
        "Rollouts, scoring and training up to the last checkpoint, mean over seeds; trying checkpoints on "
        "the validation problems apart. FLOPs by formula, the rest measured.",
    )


def _ratios(found: dict[str, Any]) -> Table:
    rows = [
        (
            f"{ratio['of']} / {ratio['to']}",
            f"{ratio['accuracy']:.3f}",
            *(_multiple(ratio.get(unit)) for unit in ("flops", "seconds", "usd")),
            f"{ratio['flops']['not_reached']:.0%}",
        )
        for ratio in found["ratios"]
    ]
    count = found["ratios"][0]["validation_problems"] if rows else 0
    return Table(
        "ratio-table",
        "Cost to be as right",
        ("cost of / cost to", "accuracy", "FLOPs", "seconds", "USD", "not reached"),
        rows,
        f"What an arm costs when it first is as right on the {count} validation problems as the first arm "
        "is at its last checkpoint, as a multiple of the first arm's cost. Intervals resample problems; "
        "not reached: the share of resamples in which no checkpoint is as right.",
    )


def _published() -> Table:
    return Table(
        "published-table",
        "Published costs, for reference",
        ("model", "method", "average of six benchmarks", "USD", "how"),
        [
            (
                row.model,
                row.method,
                f"{row.average:.3f}",
                f"{row.usd:,.0f}",
                "estimated" if row.estimated else "measured or reported",
            )
            for row in published_costs()
        ],
        "arXiv 2605.06241, Table 3: other models, problems and machines. Nothing here was measured by this "
        "package, and none of it is drawn.",
    )


def _multiple(ratio: dict[str, Any] | None) -> str:
    if ratio is None:
        return "not priced"
    value, low, high = ("never" if ratio[n] is None else f"{ratio[n]:.2f}" for n in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
