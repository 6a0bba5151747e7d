"""The state of a workspace, read while it is at work, after it was stopped or when done; any command's."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from reasonmaxxer.artifacts import read_json, read_object
from reasonmaxxer.method.history import read_progress
from reasonmaxxer.rollouts.collect import read_columns
from reasonmaxxer.work.folder import RECORD, SUMMARY, Claim, is_locked, open_workspace, partial_folder
from reasonmaxxer.work.stage_work import AT_WORK, COST, SCRATCH

State = Literal["done", "running", "stopped", "waiting"]


@dataclass(frozen=True)
class StageStatus:
    """One stage: its state, and the seconds and tokens it has taken as far as they are on disk."""

    stage: str
    state: State
    seconds: float | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Sampled:
    """One set of completions, as far as they are on disk.

    Attributes:
        name: what they are.
        total: completions there will be.
        finished: those of the shard at work, ungraded, too.
        outcomes: completions by grade.
        truncated: those cut at the length limit.
        problems: problems with a completion.
        mixed: those solved sometimes.
    """

    name: str
    total: int
    finished: int
    outcomes: dict[str, int]
    truncated: int
    problems: int
    mixed: int

    @property
    def done(self) -> int:
        """Graded completions so far."""
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Status:
    """A workspace as its folder shows it.

    Attributes:
        path: its folder.
        command: that fills it.
        state: of the whole command.
        model: those that it works on, as its config names them, the base first.
        seed: of its config.
        stages: in order.
        sampled: completions so far, in order of the stages.
        training: metrics so far, by gate and round (`gate 0`, `round 2`); empty before training and once it is done.
        summary: `summary.json` of a finished command.
    """

    path: Path
    command: str
    state: State
    model: str
    seed: int
    stages: list[StageStatus]
    sampled: list[Sampled]
    training: dict[str, list[dict[str, Any]]]
    summary: dict[str, Any] | None


def read_status(path: Path) -> Status:
    """Look at a workspace without disturbing it; only columns without tokens are read.

    Raises:
        UserError: the folder is no workspace.
    """
    try:
        return _look(path)
    except FileNotFoundError:  # a stage ended, and took its name, between two looks
        return _look(path)


def _look(path: Path) -> Status:
    claim = open_workspace(path, hashes=False)
    summary = read_object(path / SUMMARY, ("schema",)) if (path / SUMMARY).is_file() else None
    at_work = summary is None and is_locked(path)
    return Status(
        path=path,
        command=claim.command,
        state="done" if summary else "running" if at_work else "stopped",
        model=", ".join(_models(claim.config)),
        seed=claim.config["seed"],
        stages=[_stage(path, stage, at_work) for stage in claim.stages],
        sampled=_sampled(path, claim, at_work),
        training={
            folder.name.replace("-", " "): read_progress(folder)
            for folder in sorted((partial_folder(path / "training") / SCRATCH).glob("*-[0-9]*"), key=_numbered)
        },
        summary=summary,
    )


def _numbered(folder: Path) -> tuple[str, int]:
    """Order of `gate-0`, `gate-1`, `round-2`, ..., `round-10`."""
    kind, _, number = folder.name.rpartition("-")
    return kind, int(number)


def _models(config: Mapping[str, Any]) -> list[str]:
    """Names of the models in a config, a section or a list of names each."""
    there = (config[key] for key in ("model", "base", "teacher", "tuned") if config.get(key))
    return [name for value in there for name in ([value["name"]] if isinstance(value, dict) else value)]


def _stage(path: Path, stage: str, at_work: bool) -> StageStatus:
    record, partial = path / stage / RECORD, partial_folder(path / stage)
    if record.is_file():
        cost = read_json(record)["cost"]
        return StageStatus(stage, "done", cost["seconds"], cost["tokens"])
    if not partial.is_dir():
        return StageStatus(stage, "waiting")
    files = [partial / COST, *([partial / AT_WORK] if at_work else [])]
    spent = [read_json(file) for file in files if file.is_file()]
    seconds, tokens = (max((s[n] for s in spent), default=None) for n in ("seconds", "tokens"))
    return StageStatus(stage, "running" if at_work else "stopped", seconds, tokens)


def _sampled(path: Path, claim: Claim, at_work: bool) -> list[Sampled]:
    """Every folder of completions, stage by stage."""
    found = []
    for stage in claim.stages:
        folder = path / stage if (path / stage).is_dir() else partial_folder(path / stage)
        told = read_json(folder / AT_WORK) if (folder / AT_WORK).is_file() else {"expected": {}, "folder": None}
        shards = sorted(folder.rglob("shard-*.parquet"))
        completions = (shard for shard in shards if "completion_ids" in pq.read_schema(shard).names)
        written = (shard.parent.relative_to(folder).as_posix() for shard in completions)
        for name in dict.fromkeys([*told["expected"], *written]):
            finished = told["finished"] if at_work and name == told["folder"] else 0
            shown = "/".join(part for part in (stage, *Path(name).parts) if part != SCRATCH)
            found.append(_read(shown, folder / name, told["expected"].get(name), finished))
    return found


def _read(name: str, folder: Path, total: int | None, finished: int) -> Sampled:
    rows = read_columns(folder, ("problem_id", "outcome", "finish_reason"))
    by_problem: dict[str, set[bool]] = defaultdict(set)
    for row in rows:
        by_problem[row["problem_id"]].add(row["outcome"] == "correct")
    return Sampled(
        name=name,
        total=total or len(rows),
        finished=max(len(rows), finished),
        outcomes=dict(Counter(row["outcome"] for row in rows)),
        truncated=sum(row["finish_reason"] == "length" for row in rows),
        problems=len(by_problem),
        mixed=sum(len(results) == 2 for results in by_problem.values()),
    )
