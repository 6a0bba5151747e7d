"""Figures of several models side by side: accuracy, pass@k, accuracy against cost, scores on benchmarks."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from reasonmaxxer.report.figures import style
from reasonmaxxer.report.figures.style import BLUE, GREEN, GREY, INK, ON, ORANGE, PURPLE, RED

LOOKS = [
    (ORANGE, "-", "s"), (BLUE, "-", "o"), (GREEN, "-", "^"), (RED, "-", "D"), (PURPLE, "-", "v"),
    (GREY, "-", "P"), (INK, "-", "X"), (BLUE, "--", "o"), (GREEN, "--", "^"), (RED, "--", "D"),
    (PURPLE, "--", "v"), (GREY, "--", "P"),
]  # fmt: skip
"""Colour, line and marker of each arm in turn, the base's first; they come again after the last."""
UNITS = {"flops": ("TFLOPs", 1e12), "seconds": ("seconds", 1), "usd": ("US dollars", 1)}
PUBLISHED = {"base": ("s", GREY, "published: base"), "ReasonMaxxer": ("D", ORANGE, "published: ReasonMaxxer")}
OTHERS = ("^", GREY, "published: RL")
"""Marker, colour and label of a published row: hollow, and without an interval."""

Arms = Sequence[Mapping[str, Any]]


@style.styled
def arms_accuracy(arms: Arms) -> Figure:
    """Greedy accuracy of every arm with its interval; ticks are seeds.

    Args:
        arms: `arms` of `comparison.json`.
    """
    names = [fill(arm["name"], 28) for arm in arms]
    lines = max(name.count("\n") for name in names) + 1
    rows = [(name, arm["greedy"], *_look(y)[::2], "") for y, (name, arm) in enumerate(zip(names, arms, strict=True))]
    step = max(0.42, 0.18 + 0.14 * lines)
    figure, axes = style.estimates_by_name(rows, "share of test problems solved greedily", step=step)
    style.references(axes.axvline, [arms[0]["greedy"]["value"]])
    axes.tick_params(axis="y", labelsize=8.6)
    for y, arm in enumerate(arms):
        seeds = arm["greedy"]["by_seed"]
        if len(seeds) > 1:
            axes.plot(seeds, [y] * len(seeds), "|", color=INK, markersize=8)
    return figure


@style.styled
def pass_at_k(arms: Arms) -> Figure:
    """pass@k of every arm against k, with intervals as bands.

    Args:
        arms: `arms` of `comparison.json`; those without samples are left out.
    """
    curves = [(arm, [row["k"] for row in arm["pass_at"]], arm["pass_at"]) for arm in arms]
    figure, axes = _curves(curves)
    ticks = [2**i for i in range(max((max(x) for _, x, _ in curves if x), default=1).bit_length())]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.minorticks_off()
    return style.finished(figure, axes, xlabel="k, completions allowed", ylabel="pass@k")


@style.styled
def accuracy_cost(arms: Arms, unit: str) -> Figure:
    """Greedy accuracy on the validation problems against what had been spent by then.

    Args:
        arms: `arms` of `comparison.json`; those without checkpoints are left out.
        unit: `flops`, `seconds` or `usd`.
    """
    name, scale = UNITS[unit]
    points = [[point for point in arm.get("curve", []) if point[unit]] for arm in arms]
    figure, axes = _curves([(arm, [p[unit] / scale for p in of], of) for arm, of in zip(arms, points, strict=True)])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    return style.finished(figure, axes, xlabel=f"{name}: rollouts, scoring and training", ylabel="validation accuracy")


@style.styled
def suite_scores(benchmarks: Arms, published: Sequence[Mapping[str, Any]]) -> Figure:
    """Score of every benchmark with its interval, and below it what is published of the same base.

    Args:
        benchmarks: of `summary.json`.
        published: of `summary.json`; empty for none.
    """
    rows = [(b["title"], b["accuracy"], BLUE, "o", "") for b in benchmarks]
    step = 0.62 if published else 0.42
    figure, axes = style.estimates_by_name(rows, "share of problems solved", step=step, room=1.05, form=".3f")
    hollow: dict[str, Any] = {"markersize": 5.5, "markerfacecolor": ON}
    for row in published:
        marker, colour, _ = PUBLISHED.get(row["method"], OTHERS)
        there = [(row["scores"][b["name"]], y + 0.28) for y, b in enumerate(benchmarks) if b["name"] in row["scores"]]
        for score, y in there:
            axes.plot(score, y, marker, markeredgecolor=colour, markeredgewidth=1.4, **hollow)
    axes.plot([], [], "o-", color=BLUE, markersize=7, linewidth=2.2, label="measured here")
    drawn = {PUBLISHED.get(row["method"], OTHERS) for row in published}
    for marker, colour, label in (look for look in (*PUBLISHED.values(), OTHERS) if look in drawn):
        axes.plot([], [], marker, markeredgecolor=colour, label=label, **hollow)
    scores = [score for row in published for score in row["scores"].values()]
    highest = max(0.05, *scores, *(b["accuracy"]["high"] for b in benchmarks))
    axes.set_xlim(-0.012, min(1.16, 0.05 + 1.13 * highest))
    style.legend_above(axes, 2)
    return figure


def _curves(curves: Sequence[tuple[Mapping[str, Any], Sequence[float], Arms]]) -> tuple[Figure, Axes]:
    """Each arm's estimates against x, where it has any, with its look and a legend."""
    labels = [fill(arm["name"], 50) for arm, *_ in curves]
    lines = sum(label.count("\n") + 1 for label, (_, x, _) in zip(labels, curves, strict=True) if x)
    figure, axes = style.blank(style.height_with_legend(lines))
    for number, (label, (_, x, estimates)) in enumerate(zip(labels, curves, strict=True)):
        colour, line, marker = _look(number)
        if x:
            style.band(axes, x, estimates, colour, linestyle=line, marker=marker, label=label)
    style.legend_above(axes, 1)
    return figure, axes


def _look(number: int) -> tuple[str, str, str]:
    return LOOKS[number % len(LOOKS)]
