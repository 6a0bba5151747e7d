"""Figures of several arms side by side: accuracy, pass@k, and accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from reasonmaxxer.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    blank,
    interval,
    legend,
    line_per_name,
    styled,
)

LOOKS = [
    (ORANGE, "-", "s"), (BLUE, "-", "o"), (GREEN, "-", "^"), (RED, "-", "D"), (PURPLE, "-", "v"),
    (GREY, "-", "P"), (INK, "-", "X"), (BLUE, "--", "o"), (GREEN, "--", "^"), (RED, "--", "D"),
    (PURPLE, "--", "v"), (GREY, "--", "P"),
]  # fmt: skip
"""Colour, line and marker of each arm in turn, the base's first; they come again after the last."""
UNITS = {"flops": ("TFLOPs", 1e12), "seconds": ("seconds", 1), "usd": ("US dollars", 1)}

Arms = Sequence[Mapping[str, Any]]


@styled
def arms_accuracy(arms: Arms) -> Figure:
    """Greedy accuracy of every arm with its interval; ticks are seeds.

    Args:
        arms: `arms` of `comparison.json`.
    """
    names = [fill(arm["name"], 28) for arm in arms]
    lines = max(name.count("\n") for name in names) + 1
    figure, axes = blank(0.8 + max(0.42, 0.18 + 0.14 * lines) * len(arms))
    axes.axvline(arms[0]["greedy"]["value"], color=MUTED, linewidth=0.8, linestyle=":")
    for y, arm in enumerate(arms):
        colour, _, marker = _look(y)
        estimate = arm["greedy"]
        interval(axes, y, estimate, colour, marker)
        if len(estimate["by_seed"]) > 1:
            seeds = estimate["by_seed"]
            axes.plot(seeds, [y] * len(seeds), "|", color=INK, markersize=8)
        axes.annotate(
            f"{estimate['value']:.2f}", (estimate["high"], y), (5, 0), textcoords="offset points",
            va="center", color=INK,
        )  # fmt: skip
    line_per_name(axes, names, fontsize=8.6)
    axes.set_xlim(0, min(1.1, 0.1 + 1.05 * max(arm["greedy"]["high"] for arm in arms)))
    axes.set_xlabel("share of test problems solved greedily")
    return figure


@styled
def pass_at_k(arms: Arms) -> Figure:
    """pass@k of every arm against k, with intervals as bands.

    Args:
        arms: `arms` of `comparison.json`; those without samples are left out.
    """
    drawn = [(number, _label(arm), arm["pass_at"]) for number, arm in enumerate(arms) if arm["pass_at"]]
    figure, axes = _panel([label for _, label, _ in drawn])
    for number, label, rows in drawn:
        _band(axes, [row["k"] for row in rows], rows, number, label)
    axes.set_xscale("log", base=2)
    longest = max((row["k"] for arm in arms for row in arm["pass_at"]), default=1)
    ticks = [2**i for i in range(longest.bit_length())]
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.minorticks_off()
    axes.set_xlabel("k, completions allowed")
    axes.set_ylabel("pass@k")
    legend(axes, 1)
    return figure


@styled
def accuracy_cost(arms: Arms, unit: str) -> Figure:
    """Greedy accuracy on the validation problems against what had been spent by then.

    Args:
        arms: `arms` of `comparison.json`; those without checkpoints are left out.
        unit: `flops`, `seconds` or `usd`.
    """
    name, scale = UNITS[unit]
    drawn = [
        (number, _label(arm), points)
        for number, arm in enumerate(arms)
        if (points := [p for p in arm.get("curve", []) if p[unit]])
    ]
    figure, axes = _panel([label for _, label, _ in drawn])
    for number, label, points in drawn:
        _band(axes, [p[unit] / scale for p in points], points, number, label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.set_xlabel(f"{name}: rollouts, scoring and training")
    axes.set_ylabel("validation accuracy")
    legend(axes, 1)
    return figure


def _label(arm: Mapping[str, Any]) -> str:
    """Name of an arm as it fits a legend."""
    return fill(arm["name"], 50)


def _panel(labels: Sequence[str]) -> tuple[Figure, Axes]:
    """An empty figure whose panel is as high with a legend of many lines as with one of few."""
    return blank(2.9 + 0.2 * sum(label.count("\n") + 1 for label in labels))


def _band(axes: Axes, x: Sequence[float], rows: Sequence[Mapping[str, Any]], number: int, name: str) -> None:
    colour, line, marker = _look(number)
    low, high = (np.array([row[end] for row in rows]) for end in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(
        x, [row["value"] for row in rows], color=colour, linestyle=line, marker=marker,
        markersize=5, label=name,
    )  # fmt: skip


def _look(number: int) -> tuple[str, str, str]:
    return LOOKS[number % len(LOOKS)]
