"""One finished evaluation held against another: paired differences on the problems of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.metrics import paired_difference
from reasonmaxxer.measure.protocol import protocol_of, unlike
from reasonmaxxer.measure.suite import pass_rates
from reasonmaxxer.problems import Problem, source_name
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work.folder import SUMMARY, open_workspace

AGAINST = "against.json"


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `summary.json` of a finished evaluation holds.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not (folder / SUMMARY).is_file() or open_workspace(folder).command != "evaluate":
        raise UserError(f"{folder} holds no finished evaluation: give one that `evaluate` filled.")
    return read_object(folder / SUMMARY, ("schema",))


def refuse_unlike(config: SuiteConfig, problems: Mapping[str, Sequence[Problem]], against: Path) -> None:
    """Refuse to measure what could not be held against a finished evaluation.

    Args:
        config: of the evaluation to come.
        problems: of its benchmarks, by name.
        against: the finished one.

    Raises:
        UserError: no benchmark is in both, or one is asked in another way.
    """
    theirs = {b["name"]: b["protocol"] for b in read_evaluation(against)["benchmarks"]}
    if theirs.keys().isdisjoint(problems):
        raise UserError(f"{against} has none of {', '.join(problems)}; it has {', '.join(theirs)}.")
    for source in config.problems:
        name = source_name(source)
        planned = protocol_of(config, source, problems[name], engine="", dtype="")
        differing = unlike(planned, theirs[name]) if name in theirs else []
        if differing:
            raise UserError(f"{name} cannot be compared with {against}: {'; '.join(differing)}. Measure both alike.")


def paired_differences(
    config: SuiteConfig, problems: Mapping[str, Sequence[Problem]], out: Path, against: Path
) -> dict[str, Any]:
    """Paired differences on every benchmark of two finished evaluations, as JSON values.

    Args:
        config: how intervals are drawn.
        problems: by benchmark.
        out: one evaluation.
        against: the other.
    """
    other = read_evaluation(against)
    rows = []
    for benchmark in (b for b in other["benchmarks"] if b["name"] in problems):
        name = benchmark["name"]
        mine, before = (pass_rates(problems[name], read_rollouts(at / name / "rollouts")) for at in (out, against))
        change = paired_difference(before, mine, *config.interval)
        rows.append({"name": name, "title": benchmark["title"], **change})
    return {"model": other["model"], "rows": rows}
