"""What `evaluate` found: words, figures and tables, as `report.html` and `results.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_json, write_text
from reasonmaxxer.evaluation.suite import TRUNCATED
from reasonmaxxer.report import figures
from reasonmaxxer.report.microscope.content import Content, Section, measured_with
from reasonmaxxer.report.numbers import counted, listed, number
from reasonmaxxer.report.panels import Panel, panel
from reasonmaxxer.report.tables import Table, markdown
from reasonmaxxer.report.templates import fill
from reasonmaxxer.report.visible import visible_text

SOURCE = "arXiv 2605.06241, Table 3"
SHOWN = 400
"""Characters at the end of a completion that are shown."""

Found = Mapping[str, Any]


def write_evaluation(folder: Path) -> None:
    """Draw `report.html` and `results.md` of a finished evaluation into its folder."""
    content = content_of(read_json(folder / "summary.json"))
    write_text(
        fill("microscope.html.j2", version=__version__, content=content), folder / "report.html"
    )
    said = [content.lead, *content.findings, *content.caveats]
    write_text(markdown(content.title, said, content.tables), folder / "results.md")


def content_of(found: Found) -> Content:
    """The page of a folder of `evaluate`.

    Args:
        found: its `summary.json`.
    """
    benchmarks = found["benchmarks"]
    sections = [
        Section("scores", "Scores", _score_panels(found), [scores_table(found)]),
        Section("parts", "By part", tables=_part_tables(benchmarks), beside=True),
        Section(
            "outcomes", "How completions were graded", _outcome_panels(found), [_outcomes(found)]
        ),
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
        facts=[
            *measured_with({"model": found["model"]}, {}),
            *((name, str(value)) for name, value in found["environment"]["hardware"].items()),
            *((name, str(value)) for name, value in found["environment"]["versions"].items()),
        ],
    )


def lead(found: Found) -> str:
    """What was measured, and how."""
    protocol = found["benchmarks"][0]["protocol"]
    asked = sum(b["problems"] for b in found["benchmarks"])
    drawn = (
        "answered greedily"
        if protocol["temperature"] == 0
        else f"sampled at temperature {protocol['temperature']}, top-p {protocol['top_p']}"
    )
    return (
        f"{counted(asked, 'problem')} of {counted(len(found['benchmarks']), 'benchmark')}, {drawn}, at "
        f"most {protocol['max_new_tokens']:,} new tokens, prompt style {protocol['prompt_style']}. "
        f"Intervals are {found['confidence']:.0%} bootstrap over problems."
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
    for row in found["published"]:
        there = [b for b in found["benchmarks"] if b["name"] in row["scores"]]
        within = [
            b
            for b in there
            if b["accuracy"]["low"] <= row["scores"][b["name"]] <= b["accuracy"]["high"]
        ]
        if row["method"] in ("base", "ReasonMaxxer"):
            said.append(
                f"Published for {row['model']}, {row['method']}: average {row['average']:.3f}; "
                f"{len(within)} of {len(there)} published scores lie within the intervals here."
            )
    return said


def caveats(found: Found) -> list[str]:
    """What a score must not be quoted without, gravest first."""
    benchmarks = found["benchmarks"]
    said = [
        f"{b['title']}: {b['truncated_share']:.0%} of the completions were cut at "
        f"{b['protocol']['max_new_tokens']:,} tokens and could not finish, so the score may say more about "
        "the limit than about the model."
        for b in benchmarks
        if b["truncated_share"] > TRUNCATED
    ]
    said += [
        f"{b['title']}: no answer was found in {_share(b, 'unparsed'):.0%} of the completions; read some."
        for b in benchmarks
        if _share(b, "unparsed") > TRUNCATED
    ]
    part = [
        f"{b['title']} {b['problems']:,} of {b['of']:,}"
        for b in benchmarks
        if b["of"] and b["of"] != b["problems"]
    ]
    if part:
        said.append(f"Not whole benchmarks: {listed(part)} problems.")
    flat = [b["title"] for b in benchmarks if b["accuracy"]["low"] == b["accuracy"]["high"]]
    if flat:
        said.append(
            f"An interval without width ({listed(flat)}) says that all problems came out alike, not that "
            "the score is certain."
        )
    if found["published"]:
        said.append(
            f"Published scores are those of {SOURCE}: not measured here, and without intervals."
        )
    return said


def _share(benchmark: Found, outcome: str) -> float:
    counts = benchmark["outcomes"]
    return float(counts.get(outcome, 0) / sum(counts.values()))


def _score_panels(found: Found) -> list[Panel]:
    benchmarks = found["benchmarks"]
    beside = f" Hollow: published, {SOURCE}, not measured here." if found["published"] else ""
    drawn = [
        panel(
            "suite",
            "Score by benchmark",
            figures.suite_scores(benchmarks, found["published"]),
            f"Filled, with bars: measured here, with intervals over problems.{beside}",
        )
    ]
    if any(b["pass_at"] for b in benchmarks):
        curves = [{"name": b["title"], "pass_at": b["pass_at"]} for b in benchmarks]
        drawn.append(
            panel(
                "pass-at-k",
                "pass@k",
                figures.pass_at_k(curves),
                f"Unbiased estimates of {benchmarks[0]['protocol']['samples']} samples a problem; bands: "
                "intervals over problems.",
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
        blank = ("",) * len(ks)
        rows.append(
            ("average of six", "mean", several, number(found["average"], 3), *blank, *averages)
        )
    return Table(
        "scores-table",
        "Scores",
        (
            "benchmark",
            "metric",
            "problems",
            "measured here",
            *(f"pass@{k}" for k in ks),
            *(f"published: {row['model']}, {row['method']}" for row in published),
        ),
        rows,
        "avg@N: mean over problems of the share of N samples that are right."
        + (
            f" Published: {SOURCE}; nothing in those columns was measured here."
            if published
            else ""
        ),
    )


def _published(score: float | None) -> str:
    return "" if score is None else f"{score:.3f}"


def _part_tables(benchmarks: list[dict[str, Any]]) -> list[Table]:
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


def _outcome_panels(found: Found) -> list[Panel]:
    counts = {b["title"]: b["outcomes"] for b in found["benchmarks"]}
    return [
        panel(
            "graded",
            "Outcomes",
            figures.outcomes(counts),
            "All completions by grade. Only correct counts; the others are kept apart.",
        )
    ]


def _outcomes(found: Found) -> Table:
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
        "",
    )


def _specimens(benchmarks: list[dict[str, Any]]) -> Table:
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


def _protocol(benchmarks: list[dict[str, Any]]) -> Table:
    protocols = [{"benchmark": b["name"], **b["protocol"]} for b in benchmarks]
    names = [name for name in protocols[0] if name not in ("benchmark", "data")]
    return Table(
        "protocol-table",
        "Of each benchmark",
        ("benchmark", "data", *(name.replace("_", " ") for name in names)),
        [
            (p["benchmark"], ", ".join(p["data"].values()), *(_short(p[name]) for name in names))
            for p in protocols
        ],
        "Scores compare where all of this is alike. summary.json has it in full.",
    )


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
