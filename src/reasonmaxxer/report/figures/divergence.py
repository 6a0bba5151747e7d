"""Figures of a comparison of two models token by token: how often, how far, where."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import BLUE, DASHED, DOTTED, GREY, INK, MUTED, ORANGE, PURPLE, RED

CLASS_COLOURS = {"unshifted": GREY, "reranked": BLUE, "shifted": RED}
ENTROPY_BINS = 40
PAPER_TAU = 1.2
"""Threshold of the gate in arXiv 2605.06241, nats."""

Summary = Mapping[str, Any]
"""What `summary.json` of a comparison holds."""


@style.styled
def class_shares(summary: Summary) -> Figure:
    """Share of positions in each class, with intervals.

    Args:
        summary: of the comparison.
    """
    keys = dict(zip(CLASS_COLOURS, ("agreement", "reranked_share", "shifted_share"), strict=True))
    shares = {name: summary[key] for name, key in keys.items()}
    return style.shares_by_name(shares, [*CLASS_COLOURS.values()], "share of positions", 1.75)


@style.styled
def choice_ranks(ranks: Mapping[str, Mapping[str, int]]) -> Figure:
    """How far down one model's choice is in the other's list, where the choices differ.

    Args:
        ranks: `ranks` of the summary: counts by rank, `forward` and `backward`.
    """
    names = list(ranks["forward"])
    looks = (
        ("forward", "tuned model's choice under the base", {"color": BLUE, "edgecolor": BLUE}),
        ("backward", "base's choice under the tuned model", {"color": ORANGE, "edgecolor": INK, "hatch": "//"}),
    )
    sides = []
    for side, label, look in looks:
        counts = np.array([ranks[side][name] for name in names], dtype=float)
        sides.append({"height": counts / max(1, counts.sum()), "label": label, "linewidth": 0.4, **look})
    figure, axes = style.blank()
    style.pairs_of_bars(axes, [name.replace(">", "> ") for name in names], sides)
    axes.axvline(names.index("5") + 0.5, color=INK, linewidth=1, linestyle=DOTTED)
    return style.finished(figure, axes, legend=1, percent="y", xlabel="rank", ylabel="share of positions that differ")


@style.styled
def entropy_by_class(unshifted_N: np.ndarray, changed_N: np.ndarray) -> Figure:
    """Entropy of the base where the choices are the same and where they differ.

    Args:
        unshifted_N: entropies where they are the same, nats.
        changed_N: entropies where they differ, nats.
    """
    figure, axes = style.blank()
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
    return style.finished(
        figure,
        axes,
        legend=2,
        percent="y",
        xlim=(0, edges[-1]),
        xlabel="entropy of the base, nats",
        ylabel="share of those positions",
    )


@style.styled
def divergence_by_tenth(tenths: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of all Jensen-Shannon divergence in each tenth of the answers, with intervals.

    Args:
        tenths: `jsd_by_tenth` of the summary.
    """
    figure, axes = style.blank()
    for place, found in enumerate(tenths):
        if found["value"] is None:
            continue
        axes.bar(place, found["value"], 0.78, color=PURPLE)
        axes.plot([place, place], [found["low"], found["high"]], color=INK, linewidth=1.2)
    axes.axhline(1 / len(tenths), color=MUTED, linewidth=1, linestyle=DASHED)
    axes.set_xticks(range(len(tenths)), [str(place + 1) for place in range(len(tenths))])
    axes.set(xlabel="tenth of the answer", ylabel="share of divergence")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(False, axis="x")
    return figure


@style.styled
def gate_threshold(gate: Mapping[str, Any]) -> Figure:
    """Precision and recall of the gate `entropy > tau`, and what it lets through, against tau.

    Args:
        gate: of the summary.
    """
    figure, axes = style.blank()
    looks = {"recall": (BLUE, "-"), "precision": (RED, (0, (5, 1.5))), "share": (GREY, (0, (1, 1)))}
    words = {"share": "let through"}
    for name, (colour, line) in looks.items():
        points = [(p["tau"], p[name]) for p in gate["curve"] if p[name] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, label=words.get(name, name))
    if gate["curve"] and gate["curve"][-1]["tau"] > PAPER_TAU:
        axes.axvline(PAPER_TAU, color=INK, linewidth=1, linestyle=DOTTED)
    axes.set_xlim(left=0)
    return style.finished(figure, axes, legend=3, percent="y", ylim=(0, 1.02), xlabel="tau, nats")


@style.styled
def gate_precision_recall(gate: Mapping[str, Any]) -> Figure:
    """Precision of the gate against its recall; dashed: what a gate that knows nothing reaches.

    Args:
        gate: of the summary.
    """
    figure, axes = style.blank()
    points = [p for p in gate["curve"] if p["precision"] is not None and p["recall"] is not None]
    recalls, precisions = ([p[name] for p in points] for name in ("recall", "precision"))
    axes.plot(recalls, precisions, color=BLUE, marker="o", markersize=3, linewidth=1.5)
    axes.axhline(gate["base_rate"], color=MUTED, linewidth=1, linestyle=DASHED)
    for p in points:
        if p["tau"] == PAPER_TAU:
            axes.plot(p["recall"], p["precision"], "o", color=RED, markersize=7)
            place = p["recall"], p["precision"]
            axes.annotate(f"tau = {PAPER_TAU}", place, (6, 6), textcoords="offset points", color=INK)
    label = "recall: share of the differing positions that are found"
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel=label, ylabel="precision")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, 0))
    return figure
