"""The page of a run: whether it gained, completions before and after, what taught, training, grades and cost.

A figure is a `Panel` in the section where it belongs; what draws it is a function in `reasonmaxxer.report.figures`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.artifacts import flat
from reasonmaxxer.config import Recipe
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.report import words
from reasonmaxxer.report.content import Content, Example, Panel, Section, Table, measured_with, panel
from reasonmaxxer.report.figures import outcome, signal, training
from reasonmaxxer.report.numbers import number
from reasonmaxxer.report.results import Results, read_results
from reasonmaxxer.report.tables import accuracy_table, cost_table, outcomes_table

KINDS = {
    "gained": ("Gained", "solved only after training", 3),
    "lost": ("Lost", "solved only before", 3),
    "both": ("Unchanged, solved", "solved before and after", 2),
    "neither": ("Unchanged, not solved", "never solved", 2),
}
"""What became of a test problem: heading, meaning, and how many examples of it are shown."""
LISTED, LONGEST = 200, 300
"""Gained and lost problems that are listed, and characters of each; the tables hold the rest."""
MARKS = (0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Entropies, nats, above which tokens are counted."""
METRICS = (
    ("kl", "Drift elsewhere", "KL, nats", "Mean KL(base || adapted) over the anchor positions of each step, nats."),
    ("loss", "Loss", "loss", "Decision loss plus weighted anchor, of each step's rollouts."),
    ("grad_norm", "Gradient norm", "norm", "Norm of the gradient of each step, before clipping."),
    ("learning_rate", "Learning rate", "rate", "Learning rate of each step."),
)
"""Columns of the history of training that are drawn by step: title, axis and caption."""


def content(folder: Path) -> Content:
    """The page of a finished run.

    Raises:
        UserError: it is no run directory, or its run is not finished.
    """
    from reasonmaxxer.report.viewer import viewer_fragment  # here, because they load torch
    from reasonmaxxer.report.viewer_data import viewer_data

    results = read_results(folder)
    inspected = (folder / "inspection" / "stage.json").exists()
    return draw(results, viewer_fragment(viewer_data(folder)) if inspected else "")


def draw(results: Results, viewer: str = "") -> Content:
    """The page of a run that was read.

    Args:
        results: the run.
        viewer: HTML of the token viewer, trusted as it is; empty for none.
    """
    summary, recipe = results.summary, results.recipe
    sections = [
        _result(results),
        _examples(results.examples),
        Section("signal", "What it learnt from", [_pool(results), _entropy(results)]),
        _training(results),
        Section("tokens", "Token by token", viewer=viewer),
        _health(results),
        _again(recipe),
    ]
    environment = summary["environment"]
    return Content(
        command=f"report of one run, seed {recipe['seed']}",
        title=summary["model"]["name"],
        lead=words.lead(summary, recipe),
        findings=words.findings(summary),
        caveats=words.caveats(summary, recipe),
        sections=[section for section in sections if section.name != "tokens" or viewer],
        facts=measured_with({"model": summary["model"]}, {**environment["hardware"], **environment["versions"]}),
        verdict=words.verdict(summary, recipe["evaluation"]["confidence"]),
    )


def _result(results: Results) -> Section:
    changed = [one for one in results.examples if one.kind in ("gained", "lost")]
    listed = Table(
        "changed-table",
        f"Gained and lost problems ({len(changed)})",
        ("", "problem", "text", "gold", "base answered", "adapted answered"),
        [
            (
                one.kind,
                one.problem_id,
                _shortened(one.text),
                _shortened(one.gold, 80),
                *("none" if a.extracted is None else _shortened(a.extracted, 80) for a in one.answers),
            )
            for one in changed[:LISTED]
        ],
        f"The first {LISTED} of {len(changed)}; summary.json names all." if len(changed) > LISTED else "",
    )
    return Section(
        "result",
        "Did it gain?",
        [_accuracy(results), _changes(results)],
        parts=[Section("changed", listed.title, tables=[listed], folded=True)] if changed else [],
    )


def _shortened(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _accuracy(results: Results) -> Panel:
    summary, config = results.summary, results.recipe["evaluation"]
    drawn = f"{config['samples']} completions a problem at temperature {config['temperature']}"
    sampled = f"; sampled metrics from {drawn}" if config["samples"] else ""
    return Panel(
        "accuracy",
        "Accuracy, base and adapted",
        outcome.accuracy(summary),
        f"Test problems solved, n = {len(results.examples)}, with {config['confidence']:.0%} bootstrap "
        f"intervals over problems{sampled}.",
        accuracy_table(summary),
    )


def _changes(results: Results) -> Panel:
    counts = Counter(one.kind for one in results.examples)
    return panel(
        "changes",
        "What changed, problem by problem",
        outcome.changes(counts),
        f"The {len(results.examples)} test problems, decoded greedily: solved by both models, only "
        "by the adapted one (gained), only by the base (lost), or by neither.",
        columns=("problems", "count"),
        rows=[(f"{kind}: {meaning}", str(counts[kind])) for kind, (_, meaning, _) in KINDS.items()],
    )


def _examples(examples: list[Example]) -> Section:
    parts = []
    for kind, (title, _, count) in KINDS.items():
        every = [one for one in examples if one.kind == kind]
        if every:
            shown = every[:count]
            parts.append(Section(kind, f"{title} ({len(shown)} of {len(every)})", examples=shown))
    note = (
        "Greedy completions of base and adapted model side by side: the first of each kind in the order of the test "
        "problems, not a choice of the best."
    )
    return Section("examples", "Before and after", note=note, parts=parts)


def _pool(results: Results) -> Panel:
    problems = results.pool
    kept = sum(p.kept for p in problems)
    never = sum(p.correct == 0 for p in problems)
    mixed = sum(0 < p.correct < p.rollouts for p in problems)
    counts = Counter((p.correct / p.rollouts, p.kept) for p in problems)
    return panel(
        "pool",
        "Where the base is on the edge",
        signal.pass_rates(problems),
        f"{len(problems)} training problems by rollouts of the base that solve them "
        f"({sum(p.rollouts for p in problems):,} in all). {mixed} are mixed, {never} are never and "
        f"{len(problems) - mixed - never} always solved; the {kept} mixed ones nearest one half teach.",
        columns=("pass rate", "kept", "left out"),
        rows=[
            (f"{rate:.3f}", str(counts[rate, True]), str(counts[rate, False]))
            for rate in sorted({rate for rate, _ in counts})
        ],
    )


def _entropy(results: Results) -> Panel:
    values_N, gate = results.entropy, results.summary["gate"]
    taus = [g["tau"] for g in results.gates if g["tau"] is not None]
    others = [tau for tau in taus if tau != gate["tau"]]
    swept = " Dotted: the other gates that were tried." if others else ""
    marks = sorted({*MARKS, *(tau for tau in taus if tau >= 0)})
    return panel(
        "entropy",
        "Where the base hesitates",
        signal.entropy(values_N, gate, others),
        f"Entropy of the base at the {len(values_N):,} completion tokens of the "
        f"{results.summary['selection']['sequences']} rollouts that teach, in nats, logarithmic "
        f"scale; blue: decision points.{swept}",
        columns=("entropy above, nats", "share of tokens"),
        rows=[(f"{mark:.2f}", f"{float((values_N > mark).mean()):.1%}") for mark in marks],
    )


def _training(results: Results) -> Section:
    others = " Grey: the other gates." if len(results.gates) > 1 else ""
    step, rollouts = results.summary["training"]["steps"], results.recipe["training"]["batch_size"]
    learnt = Panel(
        "delta-logprob",
        "What the adapter learns",
        training.delta_logprob(results.history, results.chosen_gate, step),
        "Mean change of the taken token's log-probability at decision points, adapted minus base, in nats, by step of "
        f"{rollouts} rollouts. Dotted line: the chosen checkpoint, step {step}.{others}",
    )
    kl, loss, norm, rate = (
        Panel(column, title, training.metric(results.history, column, axis, results.chosen_gate, step), caption)
        for column, title, axis, caption in METRICS
    )
    return Section(
        "learning",
        "How training went",
        [learnt, _validation(results, step), kl, loss],
        parts=[Section("optimiser", "Gradient norm and learning rate", [norm, rate], folded=True)],
    )


def _validation(results: Results, step: int) -> Panel:
    names = [Gate(**gate).words for gate in results.gates]
    n, level = results.summary["training"]["validation_problems"], results.recipe["evaluation"]["confidence"]
    return panel(
        "validation",
        "Which checkpoint",
        training.validation(results.validation, names, results.chosen_gate, step),
        f"Greedy accuracy of each checkpoint on {n} validation problems, with {level:.0%} intervals. The best is "
        "kept, of equals the longest trained.",
        columns=("gate", "step", "pass@1"),
        rows=[(names[g], str(s), number(e, 3)) for (g, s), e in results.validation.items()],
    )


def _health(results: Results) -> Section:
    summary = results.summary
    parts = {
        "rollouts, base": summary["rollouts"], "test, base": summary["base"], "test, adapted": summary["adapted"],
    }  # fmt: skip
    seen = [name for name in outcome.OUTCOME_COLOURS if any(name in part["outcomes"] for part in parts.values())]
    total = sum(sum(part["outcomes"].values()) for part in parts.values())
    graded = Panel(
        "outcomes",
        "How completions were graded",
        outcome.outcomes({name: part["outcomes"] for name, part in parts.items()}),
        f"{total:,} completions by grade: of the base on the training problems, and of both models "
        "on the test problems, greedy and sampled together. Only correct earns a reward.",
        outcomes_table("outcomes-table", "completions", parts, seen),
    )
    cost = Panel(
        "cost",
        "What it took",
        outcome.cost(summary["cost"]["stages"]),
        "Wall clock of each stage, in seconds, all attempts together. FLOPs are counted by formula.",
        cost_table(summary["cost"]),
    )
    return Section("health", "Grades and cost", [graded, cost], note=words.price(summary["cost"]["price"]))


def _again(recipe: dict[str, Any]) -> Section:
    default, here = flat(Recipe().model_dump(mode="json")), flat(recipe)
    keys = [key for key in {**default, **here} if default.get(key) != here.get(key)]
    changed = [(key, _yaml(default.get(key)), _yaml(here.get(key))) for key in keys]
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    differing = Table("changed-keys", "What differs from the defaults", ("key", "default", "here"), changed)
    return Section(
        "again",
        "Run it again",
        note="With the versions below, where `RUN` is the run directory; files that the recipe names are looked for "
        "from the folder you are in.",
        code="reasonmaxxer run RUN/recipe.yaml --out again",
        tables=[differing] if changed else [],
        parts=[Section("recipe", "The whole recipe", code=text, folded=True)],
    )


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
