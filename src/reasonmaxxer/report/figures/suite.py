"""Scores on benchmarks, measured ones beside published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from reasonmaxxer.report.figures.style import (
    BLUE,
    GREY,
    ON,
    ORANGE,
    blank,
    interval,
    legend,
    line_per_name,
    styled,
    value_beside,
)

PUBLISHED = {"base": ("s", GREY, "published: base"), "ReasonMaxxer": ("D", ORANGE, "published: ReasonMaxxer")}
OTHERS = ("^", GREY, "published: RL")
"""Marker, colour and label of a published row: hollow, and without an interval."""

Benchmark = Mapping[str, Any]


@styled
def suite_scores(benchmarks: Sequence[Benchmark], published: Sequence[Mapping[str, Any]]) -> Figure:
    """Score of every benchmark with its interval, and below it what is published of the same base.

    Args:
        benchmarks: of `summary.json`.
        published: of `summary.json`; empty for none.
    """
    figure, axes = blank(0.8 + (0.62 if published else 0.42) * len(benchmarks) + 0.25)
    for y, benchmark in enumerate(benchmarks):
        found = benchmark["accuracy"]
        interval(axes, y, found, BLUE, "o")
        value_beside(axes, y, f"{found['value']:.3f}")
        for row in published:
            if benchmark["name"] in row["scores"]:
                marker, colour, _ = PUBLISHED.get(row["method"], OTHERS)
                axes.plot(
                    row["scores"][benchmark["name"]], y + 0.28, marker, markersize=5.5,
                    markeredgecolor=colour, markerfacecolor=ON, markeredgewidth=1.4,
                )  # fmt: skip
    axes.plot([], [], "o-", color=BLUE, markersize=7, linewidth=2.2, label="measured here")
    for marker, colour, label in (*PUBLISHED.values(), OTHERS) if published else ():
        axes.plot([], [], marker, markersize=5.5, markeredgecolor=colour, markerfacecolor=ON, label=label)
    line_per_name(axes, [benchmark["title"] for benchmark in benchmarks])
    highest = max(
        *(benchmark["accuracy"]["high"] for benchmark in benchmarks),
        *(score for row in published for score in row["scores"].values()),
        0.05,
    )
    axes.set_xlim(-0.012, min(1.16, 0.05 + 1.13 * highest))
    axes.set_xlabel("share of problems solved")
    legend(axes, 2)
    return figure
