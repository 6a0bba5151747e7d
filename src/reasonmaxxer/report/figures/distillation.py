"""Figures of a distillation: what each student kept of its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from reasonmaxxer.report.figures.style import (
    BLUE,
    GREEN,
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
    value_beside,
)

COLOURS = (BLUE, GREEN, RED, PURPLE, ORANGE)
MARKERS = "o^Dvs"

Rows = Sequence[Mapping[str, Any]]
"""`rows` of a distillation's `summary.json`: base, teacher, then the students."""


@styled
def students_accuracy(rows: Rows) -> Figure:
    """Greedy accuracy of base, teacher and every student, with intervals.

    Args:
        rows: of the summary.
    """
    figure, axes = blank(0.8 + 0.42 * len(rows))
    for y, row in enumerate(rows):
        found = row["accuracy"]
        colour = {"base": ORANGE, "teacher": INK}.get(row["name"], BLUE)
        interval(axes, y, found, colour, "o")
        value_beside(axes, y, f"{found['value']:.2f}")
    _references(axes, rows, vertical=True)
    line_per_name(axes, [row["name"] for row in rows])
    axes.set_xlim(0, min(1.12, 0.12 + max(row["accuracy"]["high"] for row in rows)))
    axes.set_xlabel("share of test problems solved greedily")
    return figure


@styled
def accuracy_by_parameters(rows: Rows) -> Figure:
    """Greedy accuracy of the students against their parameters, base and teacher as lines.

    Args:
        rows: of the summary.
    """
    figure, axes = blank(_height(len(rows) - 2))
    for number, row in enumerate(rows[2:]):
        found, at = row["accuracy"], row["parameters"]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot([at, at], [found["low"], found["high"]], color=colour, linewidth=1.6)
        axes.plot(at, found["value"], marker, color=colour, markersize=6, label=row["name"])
    _references(axes, rows, vertical=False)
    axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.minorticks_off()
    legend(axes, 2)
    axes.set_ylim(0, min(1.05, 0.1 + max(row["accuracy"]["high"] for row in rows)))
    axes.set_xlabel("parameters of the adapter")
    axes.set_ylabel("accuracy")
    return figure


@styled
def students_kl(histories: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Training loss of each student by step, nats.

    Args:
        histories: by student, step and loss.
    """
    figure, axes = blank(_height(len(histories)))
    for number, (name, points) in enumerate(histories.items()):
        axes.plot(
            [step for step, _ in points], [loss for _, loss in points],
            color=COLOURS[number % len(COLOURS)], linewidth=1.4, label=name,
            linestyle=("-", "--", ":")[number // len(COLOURS) % 3],
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel("KL(teacher || student), nats")
    legend(axes, 2)
    return figure


def _height(students: int) -> float:
    """Height of a figure whose panel is as high with a long legend as with a short one, inches."""
    return 2.9 + 0.2 * ((students + 1) // 2)


def _references(axes: Axes, rows: Rows, *, vertical: bool) -> None:
    """Dotted lines at the accuracy of base and teacher."""
    for row, line in zip(rows[:2], ((0, (1, 2)), (0, (4, 2))), strict=False):
        draw = axes.axvline if vertical else axes.axhline
        draw(row["accuracy"]["value"], color=MUTED, linewidth=0.9, linestyle=line)
