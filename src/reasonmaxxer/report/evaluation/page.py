"""What `evaluate` found as `report.html` and `results.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, read_object
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, measured_with, panel
from reasonmaxxer.report.evaluation.tables import (
    against_table,
    outcomes_table,
    part_tables,
    protocol_table,
    scores_table,
    shared_protocol,
    specimens_table,
)
from reasonmaxxer.report.evaluation.words import SOURCE, Found, caveats, findings, lead
from reasonmaxxer.report.render import write_content


def write_evaluation(folder: Path) -> None:
    """Draw `report.html` and `results.md` of a finished evaluation into its folder."""
    write_content(read_content(folder), folder / "report.html", folder / "results.md")


def read_content(folder: Path) -> Content:
    """The page of a finished evaluation's folder."""
    path = folder / "against.json"
    against = read_json(path) if path.is_file() else None
    return content_of(read_object(folder / "summary.json", ("schema",)), against)


def content_of(found: Found, against: dict[str, Any] | None = None) -> Content:
    """The page of a folder of `evaluate`.

    Args:
        found: its `summary.json`.
        against: its `against.json`, where it was held against another.
    """
    benchmarks = found["benchmarks"]
    sections = [
        Section("scores", "Scores", _score_panels(found), [scores_table(found)]),
        Section("against", "Paired", tables=[against_table(against)] if against else []),
        Section("parts", "By part", tables=part_tables(benchmarks), beside=True),
        Section("outcomes", "How completions were graded", _outcome_panels(found), [outcomes_table(found)]),
        Section("read", "Read some", tables=[specimens_table(benchmarks)]),
        Section("protocol", "Protocol", tables=[protocol_table(benchmarks)]),
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
            *shared_protocol(benchmarks),
            *((name, str(value)) for name, value in found["environment"]["hardware"].items()),
            *((name, str(value)) for name, value in found["environment"]["versions"].items()),
        ],
    )


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
