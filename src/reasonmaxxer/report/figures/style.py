"""How figures look: one small size, the Okabe-Ito palette, and SVG that follows the page's theme.

Figures are drawn in the light palette below. In a page, each of these colours becomes a CSS variable
of the same role, so that one drawing serves light, dark and print.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

INK, MUTED, GRID, ON = "#1b1f26", "#5d6673", "#dfe3e9", "#fefefe"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#9aa3af",
)  # fmt: skip
"""Okabe and Ito's colours, told apart in every common kind of colour blindness, and a grey."""
BASE, ADAPTED = ORANGE, BLUE
DOTTED, DASHED = (0, (1, 2)), (0, (4, 2))

Estimate = Mapping[str, Any]
"""`value`, `low` and `high`."""
Row = tuple[str, Estimate, str, str, str]
"""Name, estimate, colour, marker and filling of one line."""

VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", ON: "on", BLUE: "blue", ORANGE: "orange",
    GREEN: "green", RED: "red", PURPLE: "purple", GREY: "grey",
}  # fmt: skip
"""Role of each colour: `--ink` and so on in `templates/report.css`."""

_RC: dict[Any, Any] = {  # matplotlib types every key
    "font.family": "sans-serif", "font.size": 9.6, "legend.fontsize": 9.2, "legend.frameon": False,
    "axes.titlesize": 9.6, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlecolor": INK,
    "axes.labelsize": 9.6, "axes.labelcolor": MUTED, "axes.edgecolor": MUTED, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.formatter.useoffset": False,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.8, "lines.linewidth": 1.8, "text.color": INK,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    **{f"{axis}tick.{name}": MUTED for axis in "xy" for name in ("color", "labelcolor")},
    **{f"{axis}tick.labelsize": 9.2 for axis in "xy"},
}  # fmt: skip


P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the package's style, whatever the notebook has set."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_RC):
            return draw(*args, **kwargs)

    return inside


def blank(height: float = 2.9) -> tuple[Figure, Axes]:
    """An empty figure of one panel, as wide as every other (4.8 inches), without pyplot's state."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    return figure, figure.add_subplot()


def finished(figure: Figure, axes: Axes, *, legend: int = 0, percent: str = "", **labels: Any) -> Figure:
    """A figure with its labels and limits, its legend in so many columns, and its `x` or `y` axis in percent."""
    axes.set(**labels)
    if percent:
        getattr(axes, f"{percent}axis").set_major_formatter(PercentFormatter(1, 0))
    if legend:
        legend_above(axes, legend)
    return figure


def estimates_by_name(
    rows: Sequence[Row], label: str, *, step: float = 0.42, room: float = 0.8, form: str = ".2f"
) -> tuple[Figure, Axes]:
    """A figure of estimates with their intervals, a line a name, the values in a column at the right.

    Args:
        rows: of each line its name, estimate, colour, marker, and the colour that fills it where that is another.
        label: what the estimates are.
        step: height of a line, inches.
        room: height of what surrounds the lines, inches.
        form: format of the values.
    """
    figure, axes = blank(room + step * len(rows))
    for y, (_, estimate, colour, marker, face) in enumerate(rows):
        interval(axes, y, estimate, colour, marker, face)
        right = axes.get_yaxis_transform()
        axes.text(1, y, format(estimate["value"], form), transform=right, ha="right", va="center", color=INK)
    line_per_name(axes, [name for name, *_ in rows])
    axes.set_xlim(0, min(1.12, 0.12 + max(estimate["high"] for _, estimate, *_ in rows)))
    axes.set_xlabel(label)
    return figure, axes


def interval(axes: Axes, y: float, estimate: Estimate, colour: str, marker: str, face: str = "") -> None:
    """An estimate with its interval on a line of a panel; `face` fills the marker with another colour."""
    axes.plot([estimate["low"], estimate["high"]], [y, y], color=colour, linewidth=2.2)
    axes.plot(estimate["value"], y, marker, markersize=7, markeredgecolor=colour, markerfacecolor=face or colour)


def shares_by_name(rows: Mapping[str, Estimate], colours: Sequence[str], label: str, height: float) -> Figure:
    """Shares as bars with their intervals, a line a name, each share at the end of its line."""
    figure, axes = blank(height)
    for y, (estimate, colour) in enumerate(zip(rows.values(), colours, strict=True)):
        axes.barh(y, estimate["value"], 0.6, color=colour)
        axes.plot([estimate["low"], estimate["high"]], [y, y], color=INK, linewidth=1.4)
        value_after(axes, y, estimate["high"], f"{estimate['value']:.2%}")
    line_per_name(axes, list(rows))
    return finished(figure, axes, percent="x", xlim=(0, 1.18), xlabel=label, xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])


def value_after(axes: Axes, y: float, end: float, text: str, **look: Any) -> None:
    """A value at the end of a line of a panel."""
    axes.annotate(text, (end, y), (5, 0), textcoords="offset points", va="center", color=INK, **look)


def band(axes: Axes, x: Sequence[float], estimates: Sequence[Estimate], colour: str, **look: Any) -> None:
    """A curve of estimates with their intervals as a band."""
    low, value, high = ([estimate[end] for estimate in estimates] for end in ("low", "value", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, value, color=colour, markersize=5, **look)


def references(draw: Callable[..., Any], values: Sequence[float]) -> None:
    """A dotted line at the first value and a dashed one at the second; `draw` is `axes.axhline` or `axes.axvline`."""
    for value, line in zip(values, (DOTTED, DASHED), strict=False):
        draw(value, color=MUTED, linewidth=0.9, linestyle=line, zorder=1.5)


def pairs_of_bars(axes: Axes, names: Sequence[str], sides: Sequence[Mapping[str, Any]]) -> list[BarContainer]:
    """Two bars a name, side by side; a side has the heights and how its bars look."""
    axes.set_xticks(range(len(names)), list(names))
    axes.grid(False, axis="x")
    return [
        axes.bar(np.arange(len(names)) + offset, width=0.38, **side)
        for offset, side in zip((-0.2, 0.2), sides, strict=True)
    ]


def line_per_name(axes: Axes, names: Sequence[str]) -> None:
    """Lines from top to bottom, one a name, with nothing between them."""
    axes.set_yticks(range(len(names)), list(names), color=INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    names_only(axes)


def names_only(axes: Axes) -> None:
    """A left side of names alone, without ticks or grid lines."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")


def legend_above(axes: Axes, columns: int) -> None:
    """A legend above the panel, where it covers no data."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2,
        columnspacing=1.2, handlelength=1.2, handletextpad=0.5,
    )  # fmt: skip


def height_with_legend(lines: int) -> float:
    """Height of a figure whose panel is as high with a legend of many lines as with one of few, inches."""
    return 2.9 + 0.2 * lines


def svg(figure: Figure, name: str) -> str:
    """A figure as an `<svg>` element to set into a page; the same figure gives the same text.

    Args:
        figure: of any function in this package.
        name: what it is called in the page; keeps its ids apart from those of other figures.
    """
    text = io.StringIO()
    options = {**_RC, "svg.fonttype": "none", "svg.hashsalt": f"reasonmaxxer/{name}"}
    with matplotlib.rc_context(options):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", drawing, flags=re.S)
    drawing = re.sub(r' id="[A-Za-z][\w.]*_\d+"', "", drawing)  # the same in every figure, never used
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawing, count=1)
    for colour, role in VARIABLES.items():
        drawing = drawing.replace(colour, f"var(--{role})")
    return drawing
