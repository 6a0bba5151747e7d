"""Figures of interventions: accuracy by policy, dose and response, the fewest edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reasonmaxxer.microscope.policies import POLICIES
from reasonmaxxer.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ON,
    ORANGE,
    PURPLE,
    RED,
    blank,
    interval,
    legend,
    line_per_name,
    styled,
    value_beside,
)

CONTROLS = {name for name, kind in POLICIES.items() if kind.control}
KINDS = {
    "first": ("first in the answer", BLUE, "-", "o"),
    "share": ("at random", GREY, (0, (4, 1.5)), "s"),
    "entropy": ("most entropic", GREEN, "-", "^"),
    "divergence": ("most divergent", PURPLE, (0, (1, 1)), "D"),
}
"""Budgets as the legend calls them, with colour, line and marker."""

Row = Mapping[str, Any]


@styled
def interventions_accuracy(rows: Sequence[Row]) -> Figure:
    """Greedy accuracy under each policy, with intervals; base and tuned model as lines.

    Args:
        rows: of the summary, base and tuned model first.
    """
    figure, axes = blank(0.8 + 0.36 * len(rows))
    for row, line in zip(rows[:2], ((0, (1, 2)), (0, (4, 2))), strict=True):
        axes.axvline(row["accuracy"]["value"], color=MUTED, linewidth=0.9, linestyle=line)
    for y, row in enumerate(rows):
        found, colour = row["accuracy"], _colour(row)
        face = ON if row["by_construction"] else colour
        interval(axes, y, found, colour, "s" if row["policy"] in CONTROLS else "o", face)
        value_beside(axes, y, f"{found['value']:.2f}")
    line_per_name(axes, [row["name"] for row in rows])
    axes.set_xlim(0, min(1.12, 0.12 + max(row["accuracy"]["high"] for row in rows)))
    axes.set_xlabel("share of test problems solved")
    return figure


def _colour(row: Row) -> str:
    if row["policy"] in ("base", "tuned"):
        return INK
    return ORANGE if row["policy"] in CONTROLS else BLUE


@styled
def dose_response(curves: Sequence[Row], own: float, other: float) -> Figure:
    """Accuracy against the changed tokens of an answer, a curve a kind of budget.

    Args:
        curves: entries of `dose` of one direction.
        own: accuracy of the model whose text it is.
        other: of the model whose tokens are put in.
    """
    figure, axes = blank(3.2)
    axes.axhline(own, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.axhline(other, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    for curve in curves:
        label, colour, line, marker = KINDS[curve["kind"]]
        if curve["policy"] != "oracle":
            label, colour = f"{curve['policy']}, {label}", RED
        points = curve["points"]
        x = [point["edits_per_problem"] for point in points]
        low, value, high = ([p["accuracy"][end] for p in points] for end in ("low", "value", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
        axes.plot(x, value, color=colour, linestyle=line, marker=marker, markersize=5, label=label)
        if points[-1]["budget"] == "all":
            axes.plot(x[-1], value[-1], "o", markeredgecolor=INK, markerfacecolor=ON, markersize=7)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("changed tokens an answer, mean")
    axes.set_ylabel("accuracy")
    legend(axes, 2)
    return figure


@styled
def fewest_edits_histogram(histogram: Mapping[str, int], control: Mapping[str, int]) -> Figure:
    """How many problems needed how many tokens, of the tuned model and of the control.

    Args:
        histogram: of `fewest` in the summary.
        control: of the same search with tokens that neither model chose.
    """
    figure, axes = blank()
    named = (("tuned model's choice", histogram, BLUE), ("control: neither's", control, ORANGE))
    for side, (label, counts, colour) in zip((-0.2, 0.2), named, strict=True):
        x = np.arange(len(counts)) + side
        bars = axes.bar(x, list(counts.values()), 0.38, color=colour, label=label)
        axes.bar_label(bars, padding=3, color=INK)
    names = ["not found" if name == "more" else name for name in histogram]
    axes.set_xticks(range(len(names)), names)
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tokens put in")
    axes.set_ylabel("problems")
    axes.grid(False, axis="x")
    legend(axes, 2)
    return figure
