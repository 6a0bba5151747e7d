"""Figures of training: metrics by step, and the accuracy of checkpoints on the validation problems."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reasonmaxxer.measure.metrics import Estimate
from reasonmaxxer.report.figures.style import BLUE, DOTTED, GREY, INK, MUTED, RED, blank, legend_above, styled

History = Sequence[Mapping[str, Any]]


@styled
def delta_logprob(history: History, gate: int, step: int) -> Figure:
    """Change of the sampled token's log-probability at decision points, right and wrong apart.

    Args:
        history: rows of `training/history.parquet`.
        gate: number of the chosen gate.
        step: of the chosen checkpoint.
    """
    figure, axes = blank()
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for side, colour, style, name in (
        ("positive", BLUE, "-", "right rollouts"),
        ("negative", RED, (0, (4, 1.5)), "wrong rollouts"),
    ):
        _lines(axes, history, gate, f"delta_logprob_{side}", colour, style, name)
    _steps(axes, step)
    axes.set_ylabel("Δ log p, nats")
    legend_above(axes, 2)
    return figure


@styled
def metric(history: History, name: str, label: str, gate: int, step: int) -> Figure:
    """One column of the history by step; gates that were not chosen are drawn in grey.

    Args:
        history: rows of `training/history.parquet`.
        name: the column.
        label: what its axis says, with units.
        gate: number of the chosen gate.
        step: of the chosen checkpoint.
    """
    figure, axes = blank(2.3)
    _lines(axes, history, gate, name, BLUE, "-", None)
    _steps(axes, step)
    axes.set_ylabel(label)
    return figure


@styled
def validation(tried: Mapping[tuple[int, int], Estimate], names: Sequence[str], gate: int, step: int) -> Figure:
    """Accuracy of every checkpoint on the validation problems, with intervals.

    Args:
        tried: estimate by number of gate and step.
        names: what each gate is called.
        gate: number of the chosen gate.
        step: of the chosen checkpoint.
    """
    figure, axes = blank()
    for number in [*(n for n in range(len(names)) if n != gate), gate]:
        found = {s: estimate for (g, s), estimate in tried.items() if g == number}
        steps, values = list(found), [e["value"] for e in found.values()]
        spread = [[e["value"] - e["low"] for e in found.values()], [e["high"] - e["value"] for e in found.values()]]
        colour = BLUE if number == gate else GREY
        axes.errorbar(steps, values, yerr=spread, fmt="o-", color=colour, label=names[number],
                      markersize=5, elinewidth=1.2, linewidth=1.4)  # fmt: skip
    _steps(axes, step)
    highest = max(e["high"] for e in tried.values())
    last = max(s for _, s in tried)
    axes.set(xlim=(0, 1.04 * last), ylim=(0, min(1.02, 0.05 + highest)), ylabel="greedy pass@1")
    if len(names) > 1:
        legend_above(axes, 2)
    return figure


def _lines(axes: Axes, history: History, gate: int, name: str, colour: str, style: Any, label: str | None) -> None:
    """The column by step; other gates thin and grey behind the chosen one."""
    gates = sorted({row["gate"] for row in history} - {gate})
    for number in [*gates, gate]:
        rows = [row for row in history if row["gate"] == number and row[name] is not None]
        chosen = number == gate
        axes.plot(
            [row["step"] for row in rows], [row[name] for row in rows],
            color=colour if chosen else GREY, linestyle=style, linewidth=1.8 if chosen else 0.9,
            label=label if chosen else None, marker="o" if len(rows) == 1 else None,
        )  # fmt: skip


def _steps(axes: Axes, step: int) -> None:
    axes.axvline(step, color=INK, linewidth=1, linestyle=DOTTED, label="_chosen checkpoint")
    axes.set_xlabel("optimiser step")
    axes.locator_params("x", integer=True)
