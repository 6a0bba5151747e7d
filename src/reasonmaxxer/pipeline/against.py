"""One finished evaluation held against another: paired differences on the problems of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.evaluation.protocol import unlike
from reasonmaxxer.evaluation.suite import paired
from reasonmaxxer.problems import problems_from_table
from reasonmaxxer.rollouts.collect import read_rollouts

SUMMARY = "summary.json"
AGAINST = "against.json"


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `summary.json` of a finished evaluation holds.

    Raises:
        UserError: there is none.
    """
    summary: dict[str, Any] = read_json(folder / SUMMARY) if (folder / SUMMARY).is_file() else {}
    if summary.get("command") != "evaluate":
        raise UserError(f"{folder} holds no finished evaluation: give one that `evaluate` filled.")
    return summary


def differences(
    config: SuiteConfig, found: dict[str, Any], other: dict[str, Any], out: Path, against: Path
) -> dict[str, Any]:
    """Paired differences on the benchmarks that both evaluations have, asked in the same way."""
    theirs = {b["name"]: b for b in other["benchmarks"]}
    rows = []
    for benchmark in (b for b in found["benchmarks"] if b["name"] in theirs):
        name = benchmark["name"]
        differing = unlike(benchmark["protocol"], theirs[name]["protocol"])
        if differing:
            raise UserError(
                f"{name} cannot be compared with {against}: {'; '.join(differing)}. Measure both alike."
            )
        problems = problems_from_table(read_table(out / name / "problems.parquet"))
        mine, before = (read_rollouts(at / name / "rollouts") for at in (out, against))
        rows.append(
            {"name": name, "title": benchmark["title"]} | paired(problems, mine, before, config)
        )
    if not rows:
        raise UserError(f"{against} has none of the benchmarks measured here.")
    return {"model": other["model"], "rows": rows}
