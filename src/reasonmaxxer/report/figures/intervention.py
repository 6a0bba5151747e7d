"""Figures of interventions: accuracy by policy, dose and response, the fewest edits."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reasonmaxxer.microscope.policies import POLICIES
from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import BLUE, GREEN, GREY, INK, ON, ORANGE, PURPLE, RED

CONTROLS = {name for name, kind in POLICIES.items() if kind.control}
KINDS = {
    "first": ("first in the answer", BLUE, "-", "o"),
    "share": ("at random", GREY, (0, (4, 1.5)), "s"),
    "entropy": ("most entropic", GREEN, "-", "^"),
    "divergence": ("most divergent", PURPLE, (0, (1, 1)), "D"),
}
"""Budgets as the legend calls them, with colour, line and marker."""

Row = Mapping[str, Any]


@style.styled
def interventions_accuracy(rows: Sequence[Row]) -> Figure:
    """Greedy accuracy under each policy, with intervals; base and tuned model as lines.

    Args:
        rows: of the summary, base and tuned model first.
    """
    lines = [(row["name"], row["accuracy"], *_look(row)) for row in rows]
    figure, axes = style.estimates_by_name(lines, "share of test problems solved", step=0.36)
    style.references(axes.axvline, [row["accuracy"]["value"] for row in rows[:2]])
    return figure


def _look(row: Row) -> tuple[str, str, str]:
    """Colour, marker and filling: controls are squares, what is so by construction is hollow."""
    face = ON if row["by_construction"] else ""
    if row["policy"] in ("base", "tuned"):
        return INK, "o", face
    return (ORANGE, "s", face) if row["policy"] in CONTROLS else (BLUE, "o", face)


@style.styled
def dose_response(curves: Sequence[Row], own: float, other: float) -> Figure:
    """Accuracy against the changed tokens of an answer, a curve a kind of budget.

    Args:
        curves: entries of `dose` of one direction.
        own: accuracy of the model whose text it is.
        other: of the model whose tokens are put in.
    """
    figure, axes = style.blank(3.2)
    style.references(axes.axhline, [own, other])
    for curve in curves:
        label, colour, line, marker = KINDS[curve["kind"]]
        if curve["policy"] != "oracle":
            label, colour = f"{curve['policy']}, {label}", RED
        points = curve["points"]
        x, estimates = [p["edits_per_problem"] for p in points], [p["accuracy"] for p in points]
        style.band(axes, x, estimates, colour, linestyle=line, marker=marker, label=label)
        if points[-1]["budget"] == "all":
            last = estimates[-1]["value"]
            axes.plot(x[-1], last, "o", markeredgecolor=INK, markerfacecolor=ON, markersize=7)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    return style.finished(figure, axes, legend=2, xlabel="changed tokens an answer, mean", ylabel="accuracy")


@style.styled
def fewest_edits_histogram(histogram: Mapping[str, int], control: Mapping[str, int]) -> Figure:
    """How many problems needed how many tokens, of the tuned model and of the control.

    Args:
        histogram: of `fewest` in the summary.
        control: of the same search with tokens that neither model chose.
    """
    figure, axes = style.blank()
    sides = [
        {"label": label, "height": list(counts.values()), "color": colour}
        for label, counts, colour in (
            ("tuned model's choice", histogram, BLUE),
            ("control: neither's", control, ORANGE),
        )
    ]
    names = ["not found" if name == "more" else name for name in histogram]
    for bars in style.pairs_of_bars(axes, names, sides):
        axes.bar_label(bars, padding=3, color=INK)
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return style.finished(figure, axes, legend=2, xlabel="tokens put in", ylabel="problems")
