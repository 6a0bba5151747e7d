"""The run directory: one folder a stage, whole or absent, with a record of how it was made.

A stage works in `.NAME.partial`, which survives a kill. Once `stage.json` is in place its work is done:
what only an unfinished stage needs is removed and the folder renamed to `NAME`. What a stage has cost
is kept beside its work, so that the ledger of a run that was killed and taken up again still counts
what was spent up to the last durable piece: it is written just before that piece takes its name, and
counts if the piece is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import (
    AGAIN,
    check_files,
    contents,
    differences,
    files_hash,
    folder_files,
    folder_lock,
    read_json,
    read_object,
    read_yaml,
    write_json,
)
from reasonmaxxer.config import ONLINE, Recipe
from reasonmaxxer.cost import Meter, StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.recipe import dump_recipe

RECORD, COST, SCRATCH = "stage.json", "cost.json", "scratch"
AT_WORK, LOOK = "at-work.json", 5.0
"""How far a stage at work is within a shard, written again after so many seconds."""
SUMMARY, REPORT = "summary.json", "report.html"
STAGES = ("problems", "rollouts", "signal", "training", "evaluation", "inspection")


CONTENTS = "contents.json"
"""Hashes of the files that a run reads besides problems, a local model's among them."""


def stages_of(method: str) -> tuple[str, ...]:
    """Stages of a run by the method that trains: one that samples for itself needs no rollouts."""
    if method == "reasonmaxxer":
        return STAGES
    skipped = {"inspection", *(("rollouts", "signal") if method in ONLINE else ())}
    return tuple(stage for stage in STAGES if stage not in skipped)


@dataclass
class StageWork:
    """What a stage's function is given.

    Attributes:
        folder: where to write; it may hold finished shards of an attempt that was killed.
        meter: counts tokens and FLOPs; seconds and memory count themselves.
        spent: by earlier attempts, up to the last durable piece.
        counts: numbers for `stage.json`.
    """

    folder: Path
    meter: Meter
    spent: StageCost | None
    counts: dict[str, Any] = field(default_factory=dict)
    _saved: StageCost | None = None
    _told: float = 0.0

    @property
    def scratch(self) -> Path:
        """What is needed no longer once the stage is done; it is removed then."""
        return self.folder / SCRATCH

    @property
    def cost(self) -> StageCost:
        """All attempts at this stage together, up to now."""
        now = self.meter.snapshot()
        return self.spent + now if self.spent else now

    def save_cost(self, piece: Path) -> StageCost:
        """Put the cost so far on record, just before a file takes its name that makes work durable.

        Args:
            piece: the file.
        """
        cost, before = self.cost, self._saved or self.spent
        name = piece.relative_to(self.folder).as_posix()
        values = {**cost.to_dict(), "piece": name, "before": before and before.to_dict()}
        write_json(values, self.folder / COST)
        self._saved = cost
        return cost

    def tell(self, folder: Path, finished: int, tokens: int) -> None:
        """Tell whoever looks at the run how far it is, if it is time to.

        Args:
            folder: of the completions at work.
            finished: completions of it.
            tokens: of the shard at work, which the meter does not know yet.
        """
        if time.monotonic() - self._told >= LOOK:
            self._told, cost = time.monotonic(), self.cost
            values = {"seconds": cost.seconds, "tokens": cost.tokens + tokens}
            name = folder.relative_to(self.folder).as_posix()
            write_json({"folder": name, "finished": finished, **values}, self.folder / AT_WORK)


class RunDirectory:
    """The folder of one run of one recipe.

    Args:
        path: made if it is not there.
        recipe: what runs in it.
        device: torch device whose memory is measured.
        usd_per_hour: price of the machine, None where unknown.

    Raises:
        UserError: the folder holds a run of another recipe that has come beyond its problems, or something
            else.
    """

    def __init__(self, path: Path, recipe: Recipe, device: str, usd_per_hour: float | None) -> None:
        self.path, self.recipe = path, recipe
        self.device, self.usd_per_hour = device, usd_per_hour
        _claim(path, recipe)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out; the system frees the lock when a process dies.

        Raises:
            UserError: another process is at work here.
        """
        with folder_lock(self.path):
            yield

    def is_done(self, stage: str) -> bool:
        """Whether a stage is complete."""
        return (self.path / stage).is_dir()

    def is_recorded(self, stage: str) -> bool:
        """Whether a stage's work is done, though its folder may not have taken its name."""
        return self.is_done(stage) or (self.partial(stage) / RECORD).is_file()

    def partial(self, stage: str) -> Path:
        """Where a stage works until it is complete."""
        return self.path / _folders(stage)[1]

    def record(self, stage: str) -> dict[str, Any]:
        """A complete stage's `stage.json`, its files checked by size."""
        return read_record(self.path, stage)

    def costs(self) -> list[StageCost]:
        """Cost of each complete stage, in order."""
        return [StageCost.from_dict(self.record(s)["cost"]) for s in STAGES if self.is_done(s)]

    def run_stage(self, stage: str, inputs: tuple[str, ...], work: Callable[[StageWork], None]) -> None:
        """Do a stage's work unless it is done, then record it.

        Args:
            stage: its name, also its folder's.
            inputs: stages whose artifacts it reads.
            work: fills the folder; called again after a kill with what was left there.
        """
        if self.is_done(stage):
            self.record(stage)
            return
        for name in (SUMMARY, REPORT):  # of a finished run, one of whose stages was deleted
            (self.path / name).unlink(missing_ok=True)
        partial = self.partial(stage)
        partial.mkdir(exist_ok=True)
        if not self.is_recorded(stage):
            self._work(stage, inputs, work, partial)
        for path in (partial / COST, partial / AT_WORK, *partial.rglob(".*.tmp")):
            path.unlink(missing_ok=True)
        if (partial / SCRATCH).exists():
            shutil.rmtree(partial / SCRATCH)
        partial.replace(self.path / stage)

    def _work(self, stage: str, inputs: tuple[str, ...], work: Callable[[StageWork], None], partial: Path) -> None:
        """Do a stage's work, then write its record."""
        spent, started = _spent(partial), _now()
        with Meter(stage, self.device, self.usd_per_hour) as meter:
            done = StageWork(partial, meter, spent)
            work(done)
        files = folder_files(partial, without=(SCRATCH, COST, AT_WORK))
        write_json(
            {
                "stage": stage,
                "config": self.recipe.model_dump(mode="json"),
                "config_hash": self.recipe.hash(),
                "inputs": {name: self.record(name)["artifacts"] for name in inputs},
                "artifacts": files_hash(files),
                "files": files,
                "package_version": __version__,
                "seed": self.recipe.seed,
                "counts": done.counts,
                "cost": done.cost.to_dict(),
                "started": started,
                "finished": _now(),
            },
            partial / RECORD,
        )


def is_locked(run: Path) -> bool:
    """Whether a process is at work in a run directory; the folder is left as it is."""
    path = run / ".lock"
    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def open_run(run: Path, hashes: bool = True) -> dict[str, Any]:
    """The resolved recipe in a run directory, as it was written, once its stages are found whole.

    Every reader of a run begins here.

    Args:
        run: the directory.
        hashes: compare what the stages wrote by content, not by size alone.

    Raises:
        UserError: the folder is no run directory, and it names those that lie in it; or a complete stage is
            damaged.
    """
    written = run / "recipe.yaml"
    if not written.is_file():
        runs = sorted(path.parent for path in run.glob("*/recipe.yaml"))
        below = f" Runs in it: {', '.join(map(str, runs[:5]))}." if runs else ""
        raise UserError(
            f"{run} is not a run directory: it has no recipe.yaml.{below} A run directory is what "
            "`reasonmaxxer run` calls --out."
        )
    for stage in STAGES:
        if (run / stage).is_dir():
            read_record(run, stage, hashes)
    return written_recipe(run)


def read_record(run: Path, stage: str, hashes: bool = False) -> dict[str, Any]:
    """A complete stage's `stage.json`, once its files are found as it left them.

    Args:
        run: the directory.
        stage: whose folder is there.
        hashes: compare its files by content, not by size alone.

    Raises:
        UserError: a file is missing or damaged, or the stage read another one than is there now.
    """
    folder = run / stage
    remedy = AGAIN.format(folder)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder / RECORD} is missing. {remedy}")
    record = read_object(folder / RECORD, ("artifacts", "files", "inputs", "counts", "cost"), remedy)
    check_files(folder, record["files"], hashes, remedy)
    for path in folder.rglob("*.parquet"):  # a shard too many would be read
        if path.relative_to(folder).as_posix() not in record["files"]:
            raise UserError(f"{path} was not written by this run. {remedy}")
    for name, digest in record["inputs"].items():
        source = run / name
        if not (source / RECORD).is_file():
            continue
        made = read_object(source / RECORD, ("artifacts",), AGAIN.format(source))
        if made["artifacts"] != digest:
            raise UserError(f"{folder} was made from other {name} than {source} holds. {remedy}")
    return record


def written_recipe(run: Path) -> dict[str, Any]:
    """Values of the `recipe.yaml` in a run directory.

    Raises:
        UserError: it is damaged.
    """
    remedy = f"Write it again with `reasonmaxxer run --print-recipe`, or delete {run}."
    return read_yaml(run / "recipe.yaml", remedy)


def read_contents(run: Path) -> dict[str, str]:
    """Hashes of the files that a run read, by path; of an older run none."""
    written = run / CONTENTS
    return read_object(written) if written.is_file() else {}


def changed_since(run: Path, recipe: Recipe) -> list[str]:
    """Files that a run read, and whose content is another now, of those that a recipe reads too."""
    now = contents(*_read_by(recipe))
    there = read_contents(run)
    return [file for file in now if there.get(file, now[file]) != now[file]]


def _claim(path: Path, recipe: Recipe) -> None:
    """Make the folder this recipe's, or refuse."""
    written = path / "recipe.yaml"
    if written.is_file():
        there = written_recipe(path)
        differing = differences(there, recipe.model_dump(mode="json"))
        differing += [f"{file} was edited since" for file in changed_since(path, recipe)]
        if differing and _begun(path):
            raise UserError(
                f"{path} holds a run of another recipe ({'; '.join(differing[:3])}). Choose another "
                "folder with --out, or delete this one."
            )
        if not differing:
            return
        for folder in (path / name for stage in STAGES for name in _folders(stage)):
            if folder.exists():
                shutil.rmtree(folder)
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} exists and is not a run directory. Choose another with --out.")
    path.mkdir(parents=True, exist_ok=True)
    temporary = path / ".recipe.yaml.tmp"
    temporary.write_text(dump_recipe(recipe), encoding="utf-8")
    temporary.replace(written)
    write_json(contents(*_read_by(recipe)), path / CONTENTS)


def _read_by(recipe: Recipe) -> tuple[str | None, ...]:
    from reasonmaxxer.models.files import files_behind  # to look at a run takes no PyTorch

    return (recipe.verify.file, recipe.rollouts.imported, *files_behind(recipe.model.name))


def _begun(path: Path) -> bool:
    """Whether a run directory holds what took long, or is at work; problems alone yield."""
    folders = [path / name for stage in STAGES[1:] for name in _folders(stage)]
    made = (file.suffix for folder in folders for file in folder.rglob("*"))
    return is_locked(path) or any(suffix in {".parquet", ".safetensors"} for suffix in made)


def _spent(partial: Path) -> StageCost | None:
    """What earlier attempts at a stage have cost, up to the last piece of work that is there."""
    if not (partial / COST).is_file():
        return None
    values = read_json(partial / COST)
    before, piece = values.pop("before", None), values.pop("piece", ".")
    values = values if (partial / piece).exists() else before
    return values and StageCost.from_dict(values)


def _folders(stage: str) -> tuple[str, str]:
    """Names of a stage's folder, and of it while it is at work."""
    return stage, f".{stage}.partial"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
