"""What `evaluate` found, as tables."""

from __future__ import annotations

from typing import Any

from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Table
from reasonmaxxer.report.evaluation.words import SOURCE, Found
from reasonmaxxer.report.numbers import number, signed
from reasonmaxxer.report.visible import visible_text

SHOWN = 240
"""Characters at the end of a completion that are shown."""


def scores_table(found: Found) -> Table:
    """Every score, with the published ones of the same base."""
    benchmarks, published = found["benchmarks"], found["published"]
    ks = sorted({row["k"] for b in benchmarks for row in b["pass_at"]})
    rows = [
        (
            b["title"],
            b["protocol"]["metric"],
            f"{b['problems']:,}",
            number(b["accuracy"], 3),
            *(number(row, 3) for row in b["pass_at"]),
            *(_published(row["scores"].get(b["name"])) for row in published),
        )
        for b in benchmarks
    ]
    if found["average"]:
        averages = (_published(row["average"]) for row in published)
        several = f"{found['average']['n']:,}"
        blank = ("",) * len(ks)
        rows.append(("average of six", "mean", several, number(found["average"], 3), *blank, *averages))
    return Table(
        "scores-table",
        "Scores",
        (
            "benchmark",
            "metric",
            "problems",
            "measured here",
            *(f"pass@{k}" for k in ks),
            *(f"published: {row['method']}" for row in published),
        ),
        rows,
        "avg@N: mean over problems of the share of N samples that are right."
        + (f" Published: {published[0]['model']}, {SOURCE}; nothing there was measured here." if published else ""),
    )


def _published(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def against_table(against: dict[str, Any]) -> Table:
    """Paired differences to another model."""
    return Table(
        "against-table",
        f"Minus {against['model']['name']}",
        ("benchmark", "difference", "problems solved more often", "less often", "p"),
        [
            (row["title"], signed(row), f"{row['gained']:,}", f"{row['lost']:,}", f"{row['p_value']:.2g}")
            for row in against["rows"]
        ],
        "Paired over the same problems; p: exact sign test of the problems that changed (McNemar's where "
        "there is one sample).",
    )


def part_tables(benchmarks: list[dict[str, Any]]) -> list[Table]:
    """Scores by level, subject and type of answer, a table each."""
    return [
        Table(
            f"{b['name']}-by-{name}",
            f"{b['title']} by {name.replace('_', ' ')}",
            (name.replace("_", " "), "problems", b["protocol"]["metric"]),
            [(part["name"], f"{part['n']:,}", number(part, 3)) for part in parts],
            "",
        )
        for b in benchmarks
        for name, parts in b["by"].items()
    ]


def outcomes_table(found: Found) -> Table:
    """Grades of all completions, how many were cut, and how long they are."""
    names = list(figures.OUTCOME_COLOURS)
    return Table(
        "outcomes-table",
        "Outcomes",
        ("benchmark", "completions", *names, "cut at the limit", "tokens, mean"),
        [
            (
                b["title"],
                f"{sum(b['outcomes'].values()):,}",
                *(f"{b['outcomes'].get(name, 0):,}" for name in names),
                f"{b['truncated_share']:.1%}",
                f"{b['mean_tokens']:,.0f}",
            )
            for b in found["benchmarks"]
        ],
        "Only correct counts; the other four are no answer, a wrong one, or a failure of the grading.",
    )


def specimens_table(benchmarks: list[dict[str, Any]]) -> Table:
    """Completions to read before believing a score."""
    rows = [
        (
            f"{b['title']}, {visible_text(one['problem_id'])}",
            one["outcome"] + (", cut" if one["truncated"] else ""),
            visible_text(one["answer"]),
            "none" if one["extracted"] is None else visible_text(one["extracted"]),
            ("… " if len(one["text"]) > SHOWN else "") + visible_text(one["text"][-SHOWN:]),
        )
        for b in benchmarks
        for one in b["specimens"]
    ]
    return Table(
        "specimens-table",
        "One completion of each outcome",
        ("problem", "outcome", "reference", "answer read", "how the completion ends"),
        rows,
        "The first of each; all are in BENCHMARK/rollouts.",
        tokens=(2, 3, 4),
    )


def protocol_table(benchmarks: list[dict[str, Any]]) -> Table:
    """What of the protocol differs from benchmark to benchmark."""
    return Table(
        "protocol-table",
        "Of each benchmark",
        ("benchmark", "data", "problems", "their SHA-256", "samples", "metric"),
        [
            (
                b["name"],
                ", ".join(b["protocol"]["data"].values()),
                f"{b['protocol']['problems']:,}",
                b["protocol"]["problems_hash"][:12],
                str(b["protocol"]["samples"]),
                b["protocol"]["metric"],
            )
            for b in benchmarks
        ],
        "Scores compare where this and what all share (below) is alike; summary.json has it in full.",
    )


def shared_protocol(benchmarks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Name and value of what is alike in the protocols of all benchmarks."""
    first = benchmarks[0]["protocol"]
    return [
        (name.replace("_", " "), str(first[name]))
        for name in first
        if name not in ("data", "problems", "problems_hash", "samples", "metric")
    ]
