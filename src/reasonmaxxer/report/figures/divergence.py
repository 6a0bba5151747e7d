"""Figures of a comparison of two models token by token: how often, how far, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reasonmaxxer.report.figures.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    blank,
    legend,
    line_per_name,
    styled,
)

CLASS_COLOURS = {"unshifted": GREY, "reranked": BLUE, "shifted": RED}
ENTROPY_BINS = 40
PAPER_TAU = 1.2
"""Threshold of the gate in arXiv 2605.06241, nats."""

Summary = Mapping[str, Any]
"""What `summary.json` of a comparison holds."""


@styled
def class_shares(summary: Summary) -> Figure:
    """Share of positions in each class, with intervals.

    Args:
        summary: of the comparison.
    """
    keys = dict(zip(CLASS_COLOURS, ("agreement", "reranked_share", "shifted_share"), strict=True))
    figure, axes = blank(1.75)
    for y, (name, key) in enumerate(keys.items()):
        found = summary[key]
        axes.barh(y, found["value"], 0.6, color=CLASS_COLOURS[name])
        axes.plot([found["low"], found["high"]], [y, y], color=INK, linewidth=1.4)
        axes.annotate(
            f"{found['value']:.2%}", (found["high"], y), (5, 0), textcoords="offset points",
            va="center", color=INK,
        )  # fmt: skip
    line_per_name(axes, list(keys))
    axes.set_xlim(0, 1.18)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_xlabel("share of positions")
    return figure


@styled
def choice_ranks(ranks: Mapping[str, Mapping[str, int]]) -> Figure:
    """How far down one model's choice is in the other's list, where the choices differ.

    Args:
        ranks: `ranks` of the summary: counts by rank, `forward` and `backward`.
    """
    figure, axes = blank()
    names = list(ranks["forward"])
    at = np.arange(len(names))
    sides = (
        ("forward", BLUE, "", "tuned model's choice under the base"),
        ("backward", ORANGE, "//", "base's choice under the tuned model"),
    )
    for offset, (side, colour, hatch, label) in zip((-0.2, 0.2), sides, strict=True):
        counts = np.array([ranks[side][name] for name in names], dtype=float)
        axes.bar(
            at + offset, counts / max(1, counts.sum()), 0.38, color=colour, label=label, hatch=hatch,
            edgecolor=INK if hatch else colour, linewidth=0.4,
        )  # fmt: skip
    axes.axvline(names.index("5") + 0.5, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    axes.set_xticks(at, [name.replace(">", "> ") for name in names])
    axes.set_xlabel("rank")
    axes.set_ylabel("share of positions that differ")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.grid(False, axis="x")
    legend(axes, 1)
    return figure


@styled
def entropy_by_class(unshifted_N: np.ndarray, changed_N: np.ndarray) -> Figure:
    """Entropy of the base where the choices are the same and where they differ.

    Args:
        unshifted_N: entropies where they are the same, nats.
        changed_N: entropies where they differ, nats.
    """
    figure, axes = blank()
    every = np.concatenate([unshifted_N, changed_N])
    edges = np.linspace(0, max(0.1, float(np.quantile(every, 0.999))), ENTROPY_BINS + 1)
    looks = ((unshifted_N, GREY, "-", "same choice"), (changed_N, BLUE, (0, (4, 1.2)), "choices differ"))
    for values_N, colour, line, name in looks:
        if not len(values_N):
            continue
        counts, _ = np.histogram(np.minimum(values_N, edges[-1]), edges)
        height = counts / len(values_N)
        axes.stairs(height, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(height, edges, color=colour, linewidth=1.6, linestyle=line, label=name)
        axes.axvline(float(values_N.mean()), color=colour, linewidth=1.2, linestyle=(0, (1, 1.5)))
    axes.set_xlim(0, edges[-1])
    axes.set_xlabel("entropy of the base, nats")
    axes.set_ylabel("share of those positions")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    legend(axes, 2)
    return figure


@styled
def divergence_by_tenth(tenths: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of all Jensen-Shannon divergence in each tenth of the answers, with intervals.

    Args:
        tenths: `jsd_by_tenth` of the summary.
    """
    figure, axes = blank()
    for place, found in enumerate(tenths):
        if found["value"] is None:
            continue
        axes.bar(place, found["value"], 0.78, color=PURPLE)
        axes.plot([place, place], [found["low"], found["high"]], color=INK, linewidth=1.2)
    axes.axhline(1 / len(tenths), color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    axes.set_xticks(range(len(tenths)), [str(place + 1) for place in range(len(tenths))])
    axes.set_xlabel("tenth of the answer")
    axes.set_ylabel("share of divergence")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(False, axis="x")
    return figure


@styled
def gate_threshold(gate: Mapping[str, Any]) -> Figure:
    """Precision and recall of the gate `entropy > tau`, and what it lets through, against tau.

    Args:
        gate: of the summary.
    """
    figure, axes = blank()
    looks = {"recall": (BLUE, "-"), "precision": (RED, (0, (5, 1.5))), "share": (GREY, (0, (1, 1)))}
    words = {"share": "let through"}
    for name, (colour, line) in looks.items():
        points = [(p["tau"], p[name]) for p in gate["curve"] if p[name] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, label=words.get(name, name))
    _threshold_line(axes, gate)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("tau, nats")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    legend(axes, 3)
    return figure


def _threshold_line(axes: Axes, gate: Mapping[str, Any]) -> None:
    if gate["curve"] and gate["curve"][-1]["tau"] > PAPER_TAU:
        axes.axvline(PAPER_TAU, color=INK, linewidth=1, linestyle=(0, (1, 2)))


@styled
def gate_precision_recall(gate: Mapping[str, Any]) -> Figure:
    """Precision of the gate against its recall; dashed: what a gate that knows nothing reaches.

    Args:
        gate: of the summary.
    """
    figure, axes = blank()
    points = [p for p in gate["curve"] if p["precision"] is not None and p["recall"] is not None]
    axes.plot(
        [p["recall"] for p in points], [p["precision"] for p in points], color=BLUE, marker="o",
        markersize=3, linewidth=1.5,
    )  # fmt: skip
    axes.axhline(gate["base_rate"], color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    for p in points:
        if p["tau"] == PAPER_TAU:
            axes.plot(p["recall"], p["precision"], "o", color=RED, markersize=7)
            axes.annotate(
                f"tau = {PAPER_TAU}", (p["recall"], p["precision"]), (6, 6),
                textcoords="offset points", color=INK,
            )  # fmt: skip
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall: share of the differing positions that are found")
    axes.set_ylabel("precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0))
    return figure
