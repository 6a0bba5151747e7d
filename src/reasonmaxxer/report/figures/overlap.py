"""Figures of the edits that two tuned models have in common."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import BLUE, GREY, INK, ORANGE

MEASURES = {"jaccard": "positions edited by both", "same_token_share": "B's edits that A makes too"}
LOOKS = {"observed": (BLUE, "o"), "chance, like entropy": (ORANGE, "s"), "chance, anywhere": (GREY, "D")}


@style.styled
def overlap_and_chance(summary: Mapping[str, Any]) -> Figure:
    """Both figures of an overlap beside their chance levels, with intervals.

    Args:
        summary: `summary.json` of `overlap`.
    """
    sources = (summary, summary["chance"]["entropy"], summary["chance"]["random"])
    places = [4 * group + row for group in range(len(MEASURES)) for row in range(len(LOOKS))]
    estimates = [source[measure] for measure in MEASURES for source in sources]
    figure, axes = style.blank()
    for y, estimate, (colour, marker) in zip(places, estimates, [*LOOKS.values()] * len(MEASURES), strict=True):
        if estimate["value"] is not None:
            style.interval(axes, y, estimate, colour, marker)
            style.value_after(axes, y, estimate["high"], f"{estimate['value']:.1%}")
    axes.set_yticks(places, [*LOOKS] * len(MEASURES), color=INK)
    for group, words in enumerate(MEASURES.values()):
        axes.text(0, 4 * group - 0.75, words, color=INK, weight="bold")
    axes.set(xlim=(0, 1.12), ylim=(6.6, -1.2))
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    style.names_only(axes)
    return figure


@style.styled
def overlap_by(parts: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Share of B's edits that A makes with the same token, by part, with intervals.

    Args:
        parts: `by_class` or `by_outcome` of the summary.
    """
    shares = {name: part["same_token_share"] for name, part in parts.items()}
    drawn = {name: found for name, found in shares.items() if found["value"] is not None}
    height = 0.8 + 0.42 * max(1, len(drawn))
    return style.shares_by_name(drawn, [BLUE] * len(drawn), "B's edits that A makes with the same token", height)
