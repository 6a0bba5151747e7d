"""Figures of what taught the adapter: the pool of problems, and the gate over token entropy."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reasonmaxxer.method.gate import Gate
from reasonmaxxer.report.figures.style import BLUE, GREY, INK, blank, legend_above, styled
from reasonmaxxer.report.results import PoolProblem

ENTROPY_BINS = 48


@styled
def pass_rates(pool: Sequence[PoolProblem]) -> Figure:
    """Training problems by how often the base solves them, the kept ones marked.

    Args:
        pool: the training problems.
    """
    labels, place = _rate_bins(pool)
    kept, other = Counter[int](), Counter[int]()
    for problem in pool:
        (kept if problem.kept else other)[place(problem)] += 1
    figure, axes = blank()
    at = range(len(labels))
    below = [kept[i] for i in at]
    axes.bar(at, below, 0.85, color=BLUE, label="kept for training")
    axes.bar(at, [other[i] for i in at], 0.85, bottom=below, color=GREY, label="left out")
    axes.set_xticks(list(at), labels)
    axes.set(xlabel="rollouts solved" + ("" if "/" in labels[0] else ", %"), ylabel="training problems")
    axes.locator_params("y", integer=True)
    axes.grid(False, axis="x")
    legend_above(axes, 2)
    return figure


@styled
def entropy(entropy_N: np.ndarray, gate: Mapping[str, Any], others: Sequence[float] = ()) -> Figure:
    """Token entropy of the rollouts that teach, and what the gate lets through.

    Args:
        entropy_N: entropies, nats.
        gate: the gate in use, as in `summary.json`.
        others: thresholds of other gates that were tried, nats.
    """
    counts, edges = np.histogram(entropy_N, bins=ENTROPY_BINS, range=(0, _top(entropy_N)))
    share, left, right = counts / len(entropy_N), edges[:-1], edges[1:]
    figure, axes = blank()
    _blocks(axes, left, right, share, GREY)
    if gate["tau"] is None:  # entropy has no say: the same part of every bar
        _blocks(axes, left, right, share * gate["decision_share"], BLUE)
    else:
        cut = np.minimum(np.maximum(left, gate["tau"]), right)  # the gate may cut a bar in two
        start, end = np.concatenate([left, cut]), np.concatenate([cut, right])
        passing = (start < end) & Gate(**gate).decisions(((start + end) / 2).tolist(), "")
        _blocks(axes, start[passing], end[passing], np.tile(share, 2)[passing], BLUE)
        axes.axvline(gate["tau"], color=INK, linewidth=1.2)
    for other in others:
        axes.axvline(other, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set(yscale="log", xlim=(0, edges[-1]), xlabel="entropy of the base, nats", ylabel="share of tokens")
    axes.set_title(f"{Gate(**gate).words}: {gate['decision_share']:.1%} of tokens")
    return figure


def _blocks(axes: Axes, left: np.ndarray, right: np.ndarray, height: np.ndarray, colour: str) -> None:
    axes.bar(left, height, right - left, align="edge", linewidth=0.3, color=colour)


def _rate_bins(pool: Sequence[PoolProblem]) -> tuple[list[str], Callable[[PoolProblem], int]]:
    """Labels of the bars, and the bar of a problem: one a count, or tenths with 0 and 1 apart."""
    sizes = {problem.rollouts for problem in pool}
    if len(sizes) == 1 and max(sizes) <= 20:
        [size] = sizes
        return [f"{n}/{size}" if size <= 10 else str(n) for n in range(size + 1)], _correct
    return ["0", *(f"{t}–" for t in range(0, 100, 10)), "100"], _tenth


def _correct(problem: PoolProblem) -> int:
    return problem.correct


def _tenth(problem: PoolProblem) -> int:
    if problem.correct in (0, problem.rollouts):
        return 0 if problem.correct == 0 else 11
    return 1 + 10 * problem.correct // problem.rollouts


def _top(entropy_N: np.ndarray) -> float:
    return float(max(entropy_N.max(), 0.1))
