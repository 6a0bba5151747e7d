"""The page of `evaluate`: scores on benchmarks beside published ones, and what they must not be quoted without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.measure.suite import TRUNCATED
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import counted, listed, number, signed
from reasonmaxxer.report.visible import visible_text

SOURCE = "arXiv 2605.06241, Table 3"
SHOWN = 240
"""Characters at the end of a completion that are shown."""
OF_EACH = ("data", "problems", "problems_hash", "samples", "metric")
"""What of the protocol may differ from benchmark to benchmark; the rest is the same of all."""

Found = Mapping[str, Any]
"""What `summary.json` holds, or one of its benchmarks."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `evaluate`."""
    found = read_object(folder / "summary.json", ("schema",))
    path = folder / "against.json"
    return draw(found, read_object(path) if path.is_file() else None)


def draw(found: Found, against: Found | None = None) -> Content:
    """The page of an evaluation.

    Args:
        found: its `summary.json`.
        against: its `against.json`, where it was compared with another.
    """
    benchmarks, environment = found["benchmarks"], found["environment"]
    shared = {name: value for name, value in benchmarks[0]["protocol"].items() if name not in OF_EACH}
    sections = [
        Section("scores", "Scores", _scores(found), [scores_table(found)]),
        Section("against", "Paired", tables=[_against(against)] if against else []),
        Section("parts", "By part", tables=part_tables(benchmarks), beside=True),
        Section("outcomes", "How completions were graded", [_outcomes(benchmarks)], [outcomes_table(benchmarks)]),
        Section("read", "Read some", tables=[_specimens(benchmarks)]),
        Section("protocol", "Protocol", tables=[_protocol(benchmarks)]),
    ]
    return Content(
        command="evaluate",
        title=found["model"]["name"],
        lead=lead(found),
        findings=findings(found),
        caveats=caveats(found),
        sections=[section for section in sections if section.panels or section.tables],
        facts=measured_with(
            {"model": found["model"]}, {**shared, **environment["hardware"], **environment["versions"]}
        ),
    )


def lead(found: Found) -> str:
    """What was measured, and how."""
    benchmarks, protocol = found["benchmarks"], found["benchmarks"][0]["protocol"]
    drawn = f"sampled at temperature {protocol['temperature']}, top-p {protocol['top_p']}"
    stop = listed([repr(text) for text in protocol["stop"]])
    return (
        f"{counted(sum(b['problems'] for b in benchmarks), 'problem')} of {counted(len(benchmarks), 'benchmark')}, "
        f"{drawn if protocol['temperature'] else 'answered greedily'}, at most {protocol['max_new_tokens']:,} new "
        f"tokens{f', ended by {stop}' if stop else ''}, prompt style {protocol['prompt_style']}. Intervals are "
        f"{found['confidence']:.0%} bootstrap over problems."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    scores = listed([f"{b['title']} {b['accuracy']['value']:.3f}" for b in found["benchmarks"]])
    if found["average"] is None:
        return [f"{scores}."]
    said = f"Average over the six benchmarks of Table 3: {number(found['average'], 3)}."
    return [said, f"{scores}.", *_beside_published(found)]


def _beside_published(found: Found) -> list[str]:
    """How the scores lie to the published ones of the same base."""
    said = []
    for row in (row for row in found["published"] if row["method"] in ("base", "ReasonMaxxer")):
        there = [b for b in found["benchmarks"] if b["name"] in row["scores"]]
        within = [b for b in there if b["accuracy"]["low"] <= row["scores"][b["name"]] <= b["accuracy"]["high"]]
        said.append(
            f"Published for {row['model']}, {row['method']}: average {row['average']:.3f}; {len(within)} of "
            f"{len(there)} published scores lie within the intervals here."
        )
    return said


def caveats(found: Found) -> list[str]:
    """What a score must not be quoted without, gravest first."""
    benchmarks = found["benchmarks"]
    cut = _large(benchmarks, [b["truncated_share"] for b in benchmarks])
    unread = _large(benchmarks, [_unparsed(b) for b in benchmarks])
    part = listed(
        [f"{b['title']} {b['problems']:,} of {b['of']:,}" for b in benchmarks if b["of"] not in (None, b["problems"])]
    )
    flat = listed([b["title"] for b in benchmarks if b["accuracy"]["low"] == b["accuracy"]["high"]])
    said = {
        f"Cut at the limit of {benchmarks[0]['protocol']['max_new_tokens']:,} tokens, and so unfinished: {cut} of the "
        "completions. Their scores may say more about the limit than about the model.": cut,
        f"No answer found: {unread} of the completions; read some before believing a score.": unread,
        f"Not whole benchmarks: {part} problems.": part,
        f"An interval without width ({flat}) says that all problems came out alike, not that the score is "
        "certain.": flat,
        f"Published scores are those of {SOURCE}: not measured here, and without intervals.": found["published"],
    }
    return [sentence for sentence, holds in said.items() if holds]


def _large(benchmarks: Sequence[Found], shares: Sequence[float]) -> str:
    """Benchmarks whose share must not go unsaid, with it."""
    return listed(
        [f"{b['title']} {share:.0%}" for b, share in zip(benchmarks, shares, strict=True) if share > TRUNCATED]
    )


def _unparsed(benchmark: Found) -> float:
    """Share of completions without an answer."""
    counts = benchmark["outcomes"]
    return float(counts.get("unparsed", 0) / sum(counts.values()))


def _scores(found: Found) -> list[Panel]:
    benchmarks = found["benchmarks"]
    beside = f" Hollow: published, {SOURCE}, not measured here." if found["published"] else ""
    drawn = [
        Panel(
            "suite",
            "Score by benchmark",
            figures.suite_scores(benchmarks, found["published"]),
            f"Filled, with bars: measured here, with intervals over problems.{beside}",
        )
    ]
    if any(b["pass_at"] for b in benchmarks):
        samples = benchmarks[0]["protocol"]["samples"]
        drawn.append(
            Panel(
                "pass-at-k",
                "pass@k",
                figures.pass_at_k([{"name": b["title"], "pass_at": b["pass_at"]} for b in benchmarks]),
                f"Unbiased estimates of {samples} samples a problem; bands: intervals over problems.",
            )
        )
    return drawn


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
        rows.append(("average of six", "mean", several, number(found["average"], 3), *[""] * len(ks), *averages))
    note = "avg@N: mean over problems of the share of N samples that are right."
    if published:
        note += f" Published: {published[0]['model']}, {SOURCE}; nothing there was measured here."
    columns = ("benchmark", "metric", "problems", "measured here", *(f"pass@{k}" for k in ks))
    others = tuple(f"published: {row['method']}" for row in published)
    base = (len(columns),) if published else ()  # the published base comes first
    return Table("scores-table", "Scores", columns + others, rows, note, headline=(*range(len(columns)), *base))


def _published(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _against(against: Found) -> Table:
    return Table(
        "against-table",
        f"Minus {against['model']['name']}",
        ("benchmark", "difference", "problems solved more often", "less often", "p"),
        [
            (row["title"], signed(row), f"{row['gained']:,}", f"{row['lost']:,}", f"{row['p_value']:.2g}")
            for row in against["rows"]
        ],
        "Paired over the same problems; p: exact sign test of the problems that changed (McNemar's where there is one "
        "sample).",
    )


def part_tables(benchmarks: Sequence[Found]) -> list[Table]:
    """Scores by level, subject and type of answer, a table each."""
    return [
        Table(
            f"{b['name']}-by-{name}",
            f"{b['title']} by {name.replace('_', ' ')}",
            (name.replace("_", " "), "problems", b["protocol"]["metric"]),
            [(part["name"], f"{part['n']:,}", number(part, 3)) for part in parts],
        )
        for b in benchmarks
        for name, parts in b["by"].items()
    ]


def _outcomes(benchmarks: Sequence[Found]) -> Panel:
    return Panel(
        "graded",
        "Outcomes",
        figures.outcomes({b["title"]: b["outcomes"] for b in benchmarks}),
        "All completions by grade. Only correct counts; the others are kept apart.",
    )


def outcomes_table(benchmarks: Sequence[Found]) -> Table:
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
            for b in benchmarks
        ],
        "Only correct counts; the other four are no answer, a wrong one, or a failure of the grading.",
        headline=True,
    )


def _specimens(benchmarks: Sequence[Found]) -> Table:
    return Table(
        "specimens-table",
        "One completion of each outcome",
        ("problem", "outcome", "reference", "answer read", "how the completion ends"),
        [
            (
                f"{b['title']}, {visible_text(one['problem_id'])}",
                one["outcome"] + (", cut" if one["truncated"] else ""),
                visible_text(one["answer"]),
                "none" if one["extracted"] is None else visible_text(one["extracted"]),
                ("… " if len(one["text"]) > SHOWN else "") + visible_text(one["text"][-SHOWN:]),
            )
            for b in benchmarks
            for one in b["specimens"]
        ],
        "The first of each; all are in BENCHMARK/rollouts.",
        tokens=(2, 3, 4),
    )


def _protocol(benchmarks: Sequence[Found]) -> Table:
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
