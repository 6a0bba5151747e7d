"""The page of a run: whether it gained, completions before and after, what taught, training, grades and cost.

A figure is a `Panel` in the section where it belongs; what draws it is a function in `reasonmaxxer.report.figures`,
what is said about it is a block of `templates/words/run.j2`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from reasonmaxxer.artifacts import flat, yaml_text
from reasonmaxxer.config import Recipe
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.report.content import Content, Example, Panel, Section, Table, Verdict, measured_with
from reasonmaxxer.report.figures import outcome, signal, training
from reasonmaxxer.report.numbers import number
from reasonmaxxer.report.results import Results, read_results
from reasonmaxxer.report.tables import accuracy_table, cost_table, kinds_tables, outcomes_table
from reasonmaxxer.report.words import Words

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
METRICS = {"kl": "KL, nats", "loss": "loss", "grad_norm": "norm", "learning_rate": "rate"}
"""Columns of the history of training that are drawn by step, and what their axis says."""


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
    words, environment = words_of(summary, recipe), summary["environment"]
    sections = [
        _result(results, words),
        _examples(results.examples, words),
        Section("signal", "What it learnt from", [_pool(results, words), _entropy(results, words)]),
        _training(results, words),
        Section("tokens", "Token by token", viewer=viewer),
        _health(words),
        _again(recipe, words),
    ]
    return words.content(
        command=f"report of one run, seed {recipe['seed']}",
        title=summary["model"]["name"],
        sections=[section for section in sections if section.name != "tokens" or viewer],
        facts=measured_with({"model": summary["model"]}, {**environment["hardware"], **environment["versions"]}),
        verdict=verdict(words),
    )


def words_of(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> Words:
    """Its words; of the caveats, the most general first."""
    base, adapted = summary["base"], summary["adapted"]
    return Words(
        "run",
        summary,
        recipe=recipe,
        evaluation=recipe["evaluation"],
        level=recipe["evaluation"]["confidence"],
        n=base["greedy"]["pass@1"]["n"],
        difference=summary["difference"]["greedy"],
        programs="wrong_by_kind" in {**base, **adapted},
        machine=summary["environment"]["hardware"],
        total=summary["cost"]["total"],
        price=summary["cost"]["price"],
        fell=[n for n, found in base["sampled"].items() if adapted["sampled"][n]["value"] < found["value"]],
    )


def verdict(words: Words) -> Verdict:
    """Whether a run gained, by the paired greedy difference."""
    difference = words.found["difference"]["greedy"]
    kind: Literal["gain", "loss", "open"] = "open"
    if difference["low"] > 0:
        kind = "gain"
    elif difference["high"] < 0:
        kind = "loss"
    estimates = [words.found[arm]["greedy"]["pass@1"] for arm in ("base", "adapted")]
    n = estimates[0]["n"]
    before, after = (f"{estimate['value'] * n:.0f}" for estimate in estimates)
    of = f"of {n} test problems solved greedily, before and after training"
    return Verdict(kind, words.text("verdict", kind=kind), before, after, of)


def _result(results: Results, words: Words) -> Section:
    changed = [one for one in results.examples if one.kind in ("gained", "lost")]
    rows = [(one.kind, one.problem_id, _shortened(one.text), *_answered(one)) for one in changed[:LISTED]]
    code = any(one.code for one in changed)
    table = words.table("changed-table", rows, changed=len(changed), listed=LISTED, code=code)
    accuracy = words.panel("accuracy", outcome.accuracy(results.summary), accuracy_table(results.summary))
    parts = [Section("changed", table.title, tables=[table], folded=True)] if changed else []
    return Section("result", "Did it gain?", [accuracy, _changes(results, words)], parts=parts)


def _answered(one: Example) -> Iterator[str]:
    """The gold answer and those of the models; of programs, too long for a cell, how they were graded."""
    if not one.code:
        yield _shortened(one.gold, 80)
    for answer in one.answers:
        read = (answer.detail or answer.outcome) if one.code else answer.extracted
        yield "none" if read is None else _shortened(read, 80)


def _shortened(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _changes(results: Results, words: Words) -> Panel:
    counts = Counter(one.kind for one in results.examples)
    rows = [(f"{kind}: {meaning}", str(counts[kind])) for kind, (_, meaning, _) in KINDS.items()]
    return words.panel("changes", outcome.changes(counts), rows)


def _examples(examples: list[Example], words: Words) -> Section:
    parts = []
    for kind, (title, _, count) in KINDS.items():
        every = [one for one in examples if one.kind == kind]
        if every:
            shown = every[:count]
            parts.append(Section(kind, f"{title} ({len(shown)} of {len(every)})", examples=shown))
    return Section("examples", "Before and after", note=words.text("examples"), parts=parts)


def _pool(results: Results, words: Words) -> Panel:
    problems = results.pool
    counts = Counter((p.correct / p.rollouts, p.kept) for p in problems)
    rates = sorted({rate for rate, _ in counts})
    return words.panel(
        "pool",
        signal.pass_rates(problems),
        [(f"{rate:.3f}", str(counts[rate, True]), str(counts[rate, False])) for rate in rates],
        problems=len(problems),
        rollouts=sum(p.rollouts for p in problems),
        mixed=sum(0 < p.correct < p.rollouts for p in problems),
        never=sum(p.correct == 0 for p in problems),
        kept=sum(p.kept for p in problems),
    )


def _entropy(results: Results, words: Words) -> Panel:
    values_N, gate = results.entropy, results.gate
    taus = [g["tau"] for g in results.gates if g["tau"] is not None]
    others = [tau for tau in taus if tau != gate["tau"]]
    marks = sorted({*MARKS, *(tau for tau in taus if tau >= 0)})
    rows = [(f"{mark:.2f}", f"{float((values_N > mark).mean()):.1%}") for mark in marks]
    return words.panel("entropy", signal.entropy(values_N, gate, others), rows, tokens=len(values_N), others=others)


def _training(results: Results, words: Words) -> Section:
    history, chosen, step = results.history, results.chosen_gate, results.summary["training"]["steps"]
    learnt = words.panel("delta-logprob", training.delta_logprob(history, chosen, step), swept=len(results.gates) > 1)
    drawn = {
        column: words.panel(column, training.metric(history, column, axis, chosen, step))
        for column, axis in METRICS.items()
        if any(row[column] is not None for row in history)  # without an anchor there is no KL
    }
    return Section(
        "learning",
        "How training went",
        [learnt, _validation(results, words), *(drawn[name] for name in ("kl", "loss") if name in drawn)],
        _rounds(results, words),
        parts=[
            Section(
                "optimiser",
                "Gradient norm and learning rate",
                [drawn["grad_norm"], drawn["learning_rate"]],
                folded=True,
            )
        ],
    )


def _rounds(results: Results, words: Words) -> list[Table]:
    """What each of several rounds learnt from, and where it came to."""
    rounds = results.summary["training"]["rounds"]
    rows = [
        (
            str(r["round"]),
            f"{r['rollouts']['mean_pass_rate']:.0%}",
            f"{r['rollouts']['mixed_share']:.0%}",
            f"{r['rollouts']['tokens'] / r['rollouts']['rollouts']:.0f}",
            f"{r['sequences']:,}",
            f"{r['gate']['decision_share']:.1%}",
            f"{r['steps']:,}",
            f"{r['validation_accuracy']:.3f}",
        )
        for r in rounds
    ]
    return [words.table("rounds-table", rows)] if rounds else []


def _validation(results: Results, words: Words) -> Panel:
    names, tried = [Gate(**gate).words for gate in results.gates], results.validation
    rows = [(names[gate], str(step), number(estimate, 3)) for (gate, step), estimate in tried.items()]
    drawn = training.validation(tried, names, results.chosen_gate, results.summary["training"]["steps"])
    return words.panel("validation", drawn, rows)


def _health(words: Words) -> Section:
    summary = words.found
    parts = {
        "rollouts, base": summary["rollouts"], "test, base": summary["base"], "test, adapted": summary["adapted"],
    }  # fmt: skip
    counts = {name: part["outcomes"] for name, part in parts.items()}
    seen = [name for name in outcome.OUTCOME_COLOURS if any(name in of for of in counts.values())]
    table = outcomes_table("outcomes-table", "completions", parts, seen)
    total = sum(sum(of.values()) for of in counts.values())
    graded = words.panel("outcomes", outcome.outcomes(counts), table, completions=total)
    cost = words.panel("cost", outcome.cost(summary["cost"]["stages"]), cost_table(summary["cost"]))
    return Section("health", "Grades and cost", [graded, cost], kinds_tables(parts), note=words.text("price"))


def _again(recipe: dict[str, Any], words: Words) -> Section:
    default, here = flat(Recipe().model_dump(mode="json")), flat(recipe)
    keys = [key for key in {**default, **here} if default.get(key) != here.get(key)]
    changed = [(key, _yaml(default.get(key)), _yaml(here.get(key))) for key in keys]
    return Section(
        "again",
        "Run it again",
        note=words.text("again"),
        code="reasonmaxxer run RUN/recipe.yaml --out again",
        tables=[words.table("changed-keys", changed)] if changed else [],
        parts=[Section("recipe", "The whole recipe", code=yaml_text(recipe), folded=True)],
    )


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
