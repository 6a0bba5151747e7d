"""Figures of a distillation: what each student kept of its teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, RED

COLOURS = (BLUE, GREEN, RED, PURPLE, ORANGE)
MARKERS = "o^Dvs"

Rows = Sequence[Mapping[str, Any]]
"""`rows` of a distillation's `summary.json`: base, teacher, then the students."""


@style.styled
def students_accuracy(rows: Rows) -> Figure:
    """Greedy accuracy of base, teacher and every student, with intervals.

    Args:
        rows: of the summary.
    """
    colours = {"base": ORANGE, "teacher": INK}
    lines = [(row["name"], row["accuracy"], colours.get(row["name"], BLUE), "o", "") for row in rows]
    figure, axes = style.estimates_by_name(lines, "share of test problems solved greedily")
    style.references(axes.axvline, _base_and_teacher(rows))
    return figure


@style.styled
def accuracy_by_parameters(rows: Rows) -> Figure:
    """Greedy accuracy of the students against their parameters, base and teacher as lines.

    Args:
        rows: of the summary.
    """
    figure, axes = style.blank(_height(len(rows) - 2))
    for number, row in enumerate(rows[2:]):
        found, at = row["accuracy"], row["parameters"]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot([at, at], [found["low"], found["high"]], color=colour, linewidth=1.6)
        axes.plot(at, found["value"], marker, color=colour, markersize=6, label=row["name"])
    style.references(axes.axhline, _base_and_teacher(rows))
    axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.minorticks_off()
    highest = max(row["accuracy"]["high"] for row in rows)
    return style.finished(
        figure,
        axes,
        legend=2,
        xlabel="parameters of the adapter",
        ylabel="accuracy",
        ylim=(0, min(1.05, 0.1 + highest)),
    )


@style.styled
def students_kl(histories: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Training loss of each student by step, nats.

    Args:
        histories: by student, step and loss.
    """
    figure, axes = style.blank(_height(len(histories)))
    for number, (name, points) in enumerate(histories.items()):
        line = ("-", "--", ":")[number // len(COLOURS) % 3]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.4, linestyle=line, label=name)
    axes.set_ylim(bottom=0)
    return style.finished(figure, axes, legend=2, xlabel="step", ylabel="KL(teacher || student), nats")


def _base_and_teacher(rows: Rows) -> list[float]:
    return [row["accuracy"]["value"] for row in rows[:2]]


def _height(students: int) -> float:
    return style.height_with_legend((students + 1) // 2)
