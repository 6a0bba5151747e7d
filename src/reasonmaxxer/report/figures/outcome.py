"""Figures of how a run ended: accuracy, changed problems, grades, cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import ADAPTED, BASE, BLUE, GREEN, GREY, INK, ON, ORANGE, PURPLE, RED
from reasonmaxxer.report.tables import metric_rows

OUTCOME_COLOURS = {
    "correct": GREEN, "wrong": RED, "unparsed": ORANGE, "timeout": PURPLE, "error": GREY,
}  # fmt: skip
CHANGE_COLOURS = {"both": GREEN, "gained": BLUE, "lost": RED, "neither": GREY}


@style.styled
def accuracy(summary: Mapping[str, Any]) -> Figure:
    """Every accuracy of base and adapted model with its interval.

    Args:
        summary: what `summary.json` holds.
    """
    rows = list(metric_rows(summary))
    figure, axes = style.blank(0.95 + 0.6 * len(rows))
    for arm, colour, marker, offset in (("base", BASE, "s", -0.14), ("adapted", ADAPTED, "o", 0.14)):
        found = [base if arm == "base" else adapted for _, base, adapted in rows]
        values = np.array([estimate["value"] for estimate in found])
        ends = np.array([[e["low"], e["high"]] for e in found]).T
        at = np.arange(len(rows)) + offset
        axes.errorbar(values, at, xerr=np.abs(ends - values), fmt=marker, color=colour, label=arm, markersize=7,
                      elinewidth=2.2, capsize=0)  # fmt: skip
        for value, high, y in zip(values, ends[1], at, strict=True):
            style.value_after(axes, y, high, f"{value:.2f}", fontweight="bold" if arm == "adapted" else "normal")
    style.line_per_name(axes, [name for name, _, _ in rows])
    highest = max(max(base["high"], adapted["high"]) for _, base, adapted in rows)
    return style.finished(
        figure, axes, legend=2, xlim=(0, min(1.1, 0.09 + 1.05 * highest)), xlabel="share of test problems"
    )


@style.styled
def changes(counts: Mapping[str, int]) -> Figure:
    """Test problems by who solves them greedily: both models, one of them, or neither.

    Args:
        counts: problems by `both`, `gained`, `lost` and `neither`.
    """
    figure, axes = style.blank(1.35)
    _stack(axes, 0, {name: counts.get(name, 0) for name in CHANGE_COLOURS}, CHANGE_COLOURS, 1)
    axes.set(xlim=(0, sum(counts.values())), xlabel="test problems", yticks=[])
    axes.spines["left"].set_visible(False)
    axes.grid(False)
    style.legend_above(axes, 4)
    return figure


@style.styled
def outcomes(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Grades of several sets of completions, as shares of each.

    Args:
        counts: completions by outcome, by name of the set.
    """
    figure, axes = style.blank(0.95 + 0.42 * len(counts))
    seen = [name for name in OUTCOME_COLOURS if any(c.get(name) for c in counts.values())]
    for row, of_set in enumerate(counts.values()):
        parts = {name: of_set.get(name, 0) for name in seen}
        _stack(axes, row, parts, OUTCOME_COLOURS, sum(of_set.values()), label=row == 0)
    style.line_per_name(axes, list(counts))
    axes.set(xlim=(0, 1), xlabel="share of completions")
    axes.grid(False)
    style.legend_above(axes, len(seen))
    return figure


@style.styled
def cost(stages: Sequence[Mapping[str, Any]]) -> Figure:
    """Wall clock of each stage.

    Args:
        stages: `cost.stages` of `summary.json`.
    """
    seconds = [stage["seconds"] for stage in stages]
    figure, axes = style.blank(0.75 + 0.36 * len(stages))
    bars = axes.barh(range(len(stages)), seconds, 0.62, color=BLUE)
    axes.bar_label(bars, [f" {_duration(s)}" for s in seconds], padding=2, color=INK)
    style.line_per_name(axes, [stage["stage"] for stage in stages])
    return style.finished(figure, axes, xlim=(0, 1.18 * max(seconds)), xlabel="seconds")


def _stack(
    axes: Axes, row: int, parts: Mapping[str, int], colours: Mapping[str, str], whole: int, label: bool = True
) -> None:
    """One horizontal bar of parts; a part that has the room carries its count."""
    left, total = 0.0, sum(parts.values())
    for name, count in parts.items():
        width = count / whole
        axes.barh(row, width, 0.62, left=left, color=colours[name], label=name if label else None)
        if count > 0.05 * total:
            middle = left + width / 2
            axes.text(middle, row, f"{count:,}", ha="center", va="center", color=ON, fontweight="bold")
        left += width


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
