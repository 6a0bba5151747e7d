"""The state of a run, read from its folder while it is at work, after it was stopped or when done."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reasonmaxxer.artifacts import read_json, read_object
from reasonmaxxer.method.history import read_progress
from reasonmaxxer.rollouts.collect import read_columns
from reasonmaxxer.work.run_directory import AT_WORK, COST, SCRATCH, is_locked, open_run, stages_of

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
    """Completions of one model on one split, as far as they are on disk.

    Attributes:
        name: what they are.
        total: completions there will be, None where the recipe does not say.
        finished: those of the shard at work, ungraded, too.
        outcomes: completions by grade.
        truncated: those cut at the length limit.
        problems: problems with a completion.
        mixed: those solved sometimes.
    """

    name: str
    total: int | None
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
class RunStatus:
    """A run as its folder shows it.

    Attributes:
        path: its folder.
        state: of the whole run.
        model: the base, as the recipe names it.
        seed: of the recipe.
        stages: in order.
        sampled: completions so far, in order of the run.
        training: metrics so far, by number of the gate; empty before training and once it is done.
        summary: `summary.json` of a finished run.
    """

    path: Path
    state: State
    model: str
    seed: int
    stages: list[StageStatus]
    sampled: list[Sampled]
    training: dict[int, list[dict[str, Any]]]
    summary: dict[str, Any] | None


def read_status(run: Path) -> RunStatus:
    """Look at a run without disturbing it; only columns without tokens are read.

    Raises:
        UserError: the folder is no run directory.
    """
    try:
        return _look(run)
    except FileNotFoundError:  # a stage ended, and took its name, between two looks
        return _look(run)


def _look(run: Path) -> RunStatus:
    recipe = open_run(run, hashes=False)
    summary = read_object(run / "summary.json", ("schema",)) if (run / "summary.json").is_file() else None
    at_work = summary is None and is_locked(run)
    state: State = "done" if summary else "running" if at_work else "stopped"
    return RunStatus(
        path=run,
        state=state,
        model=recipe["model"]["name"],
        seed=recipe["seed"],
        stages=[_stage(run, stage, at_work) for stage in stages_of(recipe["training"]["method"])],
        sampled=_sampled(run, recipe, at_work),
        training={
            int(folder.name.removeprefix("gate-")): read_progress(folder)
            for folder in sorted((run / ".training.partial" / SCRATCH).glob("gate-*"))
        },
        summary=summary,
    )


def _stage(run: Path, stage: str, at_work: bool) -> StageStatus:
    record, partial = run / stage / "stage.json", run / f".{stage}.partial"
    if record.is_file():
        cost = read_json(record)["cost"]
        return StageStatus(stage, "done", cost["seconds"], cost["tokens"])
    if not partial.is_dir():
        return StageStatus(stage, "waiting")
    files = [partial / COST, *([partial / AT_WORK] if at_work else [])]
    spent = [read_json(file) for file in files if file.is_file()]
    seconds, tokens = (max((s[n] for s in spent), default=None) for n in ("seconds", "tokens"))
    return StageStatus(stage, "running" if at_work else "stopped", seconds, tokens)


def _sampled(run: Path, recipe: dict[str, Any], at_work: bool) -> list[Sampled]:
    """Every set of completions that has a folder."""
    record = run / "problems" / "stage.json"
    if not record.is_file():
        return []
    sizes, config = read_json(record)["counts"], recipe["rollouts"]
    sets: list[tuple[str, Path, int | None]] = [
        (
            "rollouts",
            _folder(run, "rollouts"),
            None if config["imported"] else sizes["train"] * config["rollouts_per_problem"],
        )
    ]
    for gate in sorted((run / ".training.partial" / SCRATCH).glob("gate-*")):
        tried = sorted(gate.glob("validation-*"), key=lambda p: int(p.name.partition("-")[2]))
        sets += [(f"{gate.name} step {p.name.partition('-')[2]}", p, sizes["validation"]) for p in tried]
    for arm in ("base", "adapted"):
        config = recipe["evaluation"]
        sampled = min(sizes["test"], config["sampled_problems"] or sizes["test"])
        for kind, count in (("greedy", sizes["test"]), ("sampled", config["samples"] * sampled)):
            folder = _folder(run, "evaluation") / f"{arm}-{kind}"
            sets.append((f"test, {arm} {kind}", folder, count))
    told = _told(run) if at_work else {}
    return [_read(*of, told.get(of[1], 0)) for of in sets if of[1].is_dir()]


def _folder(run: Path, stage: str) -> Path:
    return run / stage if (run / stage).is_dir() else run / f".{stage}.partial"


def _told(run: Path) -> dict[Path, int]:
    """Completions, as the process at work tells, by their folder."""
    told = {file.parent: read_json(file) for file in run.glob(f".*.partial/{AT_WORK}")}
    return {stage / values["folder"]: values["finished"] for stage, values in told.items()}


def _read(name: str, folder: Path, total: int | None, finished: int) -> Sampled:
    rows = read_columns(folder, ("problem_id", "outcome", "finish_reason"))
    by_problem: dict[str, set[bool]] = defaultdict(set)
    for row in rows:
        by_problem[row["problem_id"]].add(row["outcome"] == "correct")
    return Sampled(
        name=name,
        total=total,
        finished=max(len(rows), finished),
        outcomes=dict(Counter(row["outcome"] for row in rows)),
        truncated=sum(row["finish_reason"] == "length" for row in rows),
        problems=len(by_problem),
        mixed=sum(len(results) == 2 for results in by_problem.values()),
    )
