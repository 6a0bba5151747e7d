"""How figures look: one small size, the Okabe-Ito palette, and SVG that follows the page's theme.

Figures are drawn in the light palette below. In a page, each of these colours becomes a CSS variable
of the same role, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, ON = "#1b1f26", "#5d6673", "#dfe3e9", "#fefefe"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#9aa3af",
)  # fmt: skip
"""Okabe and Ito's colours, told apart in every common kind of colour blindness, and a grey."""
BASE, ADAPTED = ORANGE, BLUE

VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", ON: "on", BLUE: "blue", ORANGE: "orange",
    GREEN: "green", RED: "red", PURPLE: "purple", GREY: "grey",
}  # fmt: skip
"""Role of each colour: `--ink` and so on in `templates/report.css`."""

_RC: dict[Any, Any] = {  # matplotlib types every key
    "font.family": "sans-serif",
    "font.size": 9.6,
    "axes.titlesize": 9.6,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.6,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9.2,
    "xtick.labelsize": 9.2,
    "ytick.labelsize": 9.2,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


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


def interval(axes: Axes, y: float, estimate: Mapping[str, Any], colour: str, marker: str, face: str = "") -> None:
    """An estimate with its interval on a line of a panel; `face` fills the marker with another colour."""
    axes.plot([estimate["low"], estimate["high"]], [y, y], color=colour, linewidth=2.2)
    axes.plot(
        estimate["value"], y, marker, markersize=7, markeredgecolor=colour,
        markerfacecolor=face or colour,
    )  # fmt: skip


def value_beside(axes: Axes, y: float, text: str) -> None:
    """A value in a column at the right of a panel."""
    axes.text(1, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", color=INK)


def line_per_name(axes: Axes, names: Sequence[str], **text: Any) -> None:
    """Lines from top to bottom, one a name, with nothing between them; `text` is of the names."""
    axes.set_yticks(range(len(names)), list(names), color=INK, **text)
    axes.set_ylim(len(names) - 0.5, -0.5)
    bare_left(axes)


def bare_left(axes: Axes) -> None:
    """A left side of names alone."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(False, axis="y")


def legend(axes: Axes, columns: int) -> None:
    """A legend above the panel, where it covers no data."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2,
        columnspacing=1.2, handlelength=1.2, handletextpad=0.5,
    )  # fmt: skip


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
