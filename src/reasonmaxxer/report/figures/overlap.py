"""Figures of the edits that two tuned models have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reasonmaxxer.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    bare_left,
    blank,
    interval,
    line_per_name,
    styled,
)

MEASURES = {"jaccard": "positions edited by both", "same_token_share": "B's edits that A makes too"}


@styled
def overlap_and_chance(summary: Mapping[str, Any]) -> Figure:
    """Both figures of an overlap beside their chance levels, with intervals.

    Args:
        summary: `summary.json` of `overlap`.
    """
    figure, axes = blank(2.9)
    rows = [
        (y, name, colour, marker, found[measure])
        for n, measure in enumerate(MEASURES)
        for y, (name, colour, marker, found) in enumerate(
            (
                ("observed", BLUE, "o", summary),
                ("chance, like entropy", ORANGE, "s", summary["chance"]["entropy"]),
                ("chance, anywhere", GREY, "D", summary["chance"]["random"]),
            ),
            start=4 * n,
        )
    ]
    for y, _, colour, marker, estimate in rows:
        if estimate["value"] is None:
            continue
        interval(axes, y, estimate, colour, marker)
        axes.annotate(
            f"{estimate['value']:.1%}", (estimate["high"], y), (6, 0), textcoords="offset points",
            va="center", color=INK,
        )  # fmt: skip
    axes.set_yticks([y for y, *_ in rows], [name for _, name, *_ in rows], color=INK)
    for n, words in enumerate(MEASURES.values()):
        axes.text(0, 4 * n - 0.75, words, color=INK, weight="bold")
    axes.set_ylim(6.6, -1.2)
    axes.set_xlim(0, 1.12)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    bare_left(axes)
    return figure


@styled
def overlap_by(parts: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Share of B's edits that A makes with the same token, by part, with intervals.

    Args:
        parts: `by_class` or `by_outcome` of the summary.
    """
    drawn = {name: p["same_token_share"] for name, p in parts.items()}
    drawn = {name: found for name, found in drawn.items() if found["value"] is not None}
    figure, axes = blank(0.8 + 0.42 * max(1, len(drawn)))
    for y, found in enumerate(drawn.values()):
        axes.barh(y, found["value"], 0.6, color=BLUE, alpha=0.8)
        axes.plot([found["low"], found["high"]], [y, y], color=INK, linewidth=1.4)
    line_per_name(axes, list(drawn))
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_xlabel("B's edits that A makes with the same token")
    return figure
