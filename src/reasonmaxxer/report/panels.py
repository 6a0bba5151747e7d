"""The report's figures with their captions and the numbers behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from reasonmaxxer.measure.metrics import bootstrap
from reasonmaxxer.report import figures
from reasonmaxxer.report.numbers import number
from reasonmaxxer.report.results import Results


@dataclass(frozen=True)
class Panel:
    """A figure as the page shows it.

    Attributes:
        name: its anchor.
        title: what it is.
        drawing: an `<svg>` element.
        caption: what it shows, of how many, in which units.
        columns: header of the numbers behind it, empty for none.
        rows: those numbers.
    """

    name: str
    title: str
    drawing: Markup
    caption: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def panel(name: str, title: str, figure: Figure, caption: str, **table: Any) -> Panel:
    """A figure drawn into a panel; `table` is its columns and rows."""
    return Panel(name, title, Markup(figures.svg(figure, name)), caption, **table)


def accuracy(results: Results) -> Panel:
    """Greedy and sampled accuracy of both models."""
    summary, config = results.summary, results.recipe["evaluation"]
    rows = figures.metric_rows(summary)
    drawn = f"{config['samples']} completions a problem at temperature {config['temperature']}"
    sampled = f"; sampled metrics from {drawn}" if config["samples"] else ""
    return panel(
        "accuracy",
        "Accuracy, base and adapted",
        figures.accuracy(summary),
        f"Test problems solved, n = {rows[0][1]['n']}, with {config['confidence']:.0%} bootstrap "
        f"intervals over problems{sampled}.",
        columns=("metric", "base", "adapted"),
        rows=[(name, number(base, 3), number(adapted, 3)) for name, base, adapted in rows],
    )


def changes(results: Results) -> Panel:
    """The paired view: problems both, one or none of the models solve."""
    counts = Counter[str](c.change for c in results.comparisons)
    words = {
        "both": "solved before and after",
        "gained": "solved only after training",
        "lost": "solved only before",
        "neither": "never solved",
    }
    return panel(
        "changes",
        "What changed, problem by problem",
        figures.changes(counts),
        f"The {len(results.comparisons)} test problems, decoded greedily: solved by both models, only "
        "by the adapted one (gained), only by the base (lost), or by neither.",
        columns=("problems", "count"),
        rows=[(f"{name}: {text}", str(counts[name])) for name, text in words.items()],
    )


def pool(results: Results) -> Panel:
    """The training problems by pass rate of the base."""
    problems = results.pool
    mixed = sum(0 < p.correct < p.rollouts for p in problems)
    kept = sum(p.kept for p in problems)
    never = sum(p.correct == 0 for p in problems)
    table = Counter((p.correct / p.rollouts, p.kept) for p in problems)
    return panel(
        "pool",
        "Where the base is on the edge",
        figures.pass_rates(problems),
        f"{len(problems)} training problems by rollouts of the base that solve them "
        f"({sum(p.rollouts for p in problems):,} in all). {mixed} are mixed, {never} are never and "
        f"{len(problems) - mixed - never} always solved; the {kept} mixed ones nearest one half teach.",
        columns=("pass rate", "kept", "left out"),
        rows=[
            (f"{rate:.3f}", str(table[rate, True]), str(table[rate, False]))
            for rate in sorted({rate for rate, _ in table})
        ],
    )


def entropy(results: Results) -> Panel:
    """Token entropy with the gate."""
    values, gate = results.entropy, results.summary["gate"]
    taus = [g["tau"] for g in results.gates if g["tau"] is not None]
    others = [tau for tau in taus if tau != gate["tau"]]
    swept = " Dotted: the other gates that were tried." if others else ""
    marks = sorted({0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, *(tau for tau in taus if tau >= 0)})
    return panel(
        "entropy",
        "Where the base hesitates",
        figures.entropy(values, gate, others),
        f"Entropy of the base at the {len(values):,} completion tokens of the "
        f"{results.summary['selection']['sequences']} rollouts that teach, in nats, logarithmic "
        f"scale; blue: decision points.{swept}",
        columns=("entropy above, nats", "share of tokens"),
        rows=[(f"{mark:.2f}", f"{float((values > mark).mean()):.1%}") for mark in marks],
    )


def training(results: Results) -> list[Panel]:
    """Curves of training, and the accuracy of its checkpoints."""
    history, gate = results.history, results.chosen_gate
    step = results.summary["training"]["steps"]
    others = " Grey: the other gates." if len(results.gates) > 1 else ""
    marked = f" Dotted line: the chosen checkpoint, step {step}.{others}"
    drawn = [
        panel(
            "delta-logprob",
            "What the adapter learns",
            figures.delta_logprob(history, gate, step),
            "Mean change of the taken token's log-probability at decision points, adapted minus base, "
            f"in nats, by step of {results.recipe['training']['batch_size']} rollouts.{marked}",
        ),
        _validation(results, step),
    ]
    small = (
        (
            "kl",
            "Drift elsewhere",
            "KL, nats",
            "Mean KL(base || adapted) over the anchor positions of each step, nats.",
        ),
        ("loss", "Loss", "loss", "Decision loss plus weighted anchor, of each step's rollouts."),
        ("grad_norm", "Gradient norm", "norm", "Norm of the gradient of each step, before clipping."),
        ("learning_rate", "Learning rate", "rate", "Learning rate of each step."),
    )
    return drawn + [
        panel(name, title, figures.metric(history, name, label, gate, step), caption)
        for name, title, label, caption in small
    ]


def _validation(results: Results, step: int) -> Panel:
    config = results.recipe["evaluation"]
    tried = {
        (v.gate, v.step): bootstrap(
            np.array(v.correct), config["bootstrap"], config["confidence"], results.recipe["seed"]
        )
        for v in results.validation
    }
    names = [figures.gate_words(gate).partition(":")[0] for gate in results.gates]
    n = results.summary["training"]["validation_problems"]
    return panel(
        "validation",
        "Which checkpoint",
        figures.validation(tried, names, results.chosen_gate, step),
        f"Greedy accuracy of each checkpoint on {n} validation problems, with "
        f"{config['confidence']:.0%} intervals. The best is kept, of equals the longest trained.",
        columns=("gate", "step", "pass@1"),
        rows=[(names[g], str(s), number(e.to_dict(), 3)) for (g, s), e in tried.items()],
    )


def outcomes(results: Results) -> Panel:
    """Grades of rollouts and of both arms of the evaluation."""
    parts = {
        "rollouts, base": results.summary["rollouts"],
        "test, base": results.summary["base"],
        "test, adapted": results.summary["adapted"],
    }
    names = [n for n in figures.OUTCOME_COLOURS if any(n in p["outcomes"] for p in parts.values())]
    total = sum(sum(part["outcomes"].values()) for part in parts.values())
    return panel(
        "outcomes",
        "How completions were graded",
        figures.outcomes({name: part["outcomes"] for name, part in parts.items()}),
        f"{total:,} completions by grade: of the base on the training problems, and of both models "
        "on the test problems, greedy and sampled together. Only correct earns a reward.",
        columns=("completions", *names, "cut at the limit"),
        rows=[
            (label, *(f"{part['outcomes'].get(name, 0):,}" for name in names), f"{part['truncated_share']:.1%}")
            for label, part in parts.items()
        ],
    )


def cost(results: Results) -> Panel:
    """What each stage took."""
    found = results.summary["cost"]
    return panel(
        "cost",
        "What it took",
        figures.cost(found["stages"]),
        "Wall clock of each stage, in seconds, all attempts together. FLOPs are counted by formula.",
        columns=("stage", "seconds", "tokens", "TFLOP", "peak GiB", usd_header(found["price"])),
        rows=[_cost_row(stage) for stage in [*found["stages"], found["total"]]],
    )


def usd_header(price: dict[str, Any]) -> str:
    """`USD`, marked where the price is an assumption."""
    return "USD (estimate)" if price["estimated"] else "USD"


def _cost_row(stage: dict[str, Any]) -> tuple[str, ...]:
    return (
        stage["stage"],
        f"{stage['seconds']:,.1f}",
        f"{stage['tokens']:,}",
        f"{stage['flops'] / 1e12:,.1f}",
        f"{stage['peak_memory_bytes'] / 2**30:.1f}",
        "not known" if stage["usd"] is None else f"{stage['usd']:.4f}",
    )
