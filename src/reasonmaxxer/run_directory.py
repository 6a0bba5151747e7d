"""The run directory: one folder a stage, whole or absent, with a record of how it was made.

A stage works in `.NAME.partial`, which survives a kill. Once `stage.json` is in place its work is done:
what only an unfinished stage needs is removed and the folder renamed to `NAME`. What a stage has cost
is kept beside its work, so that the ledger of a run that was killed and taken up again still counts
what was spent up to the last durable piece.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock
import yaml

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import (
    contents,
    differences,
    folder_hash,
    folder_lock,
    read_json,
    write_json,
)
from reasonmaxxer.config import ONLINE, Recipe
from reasonmaxxer.cost import Meter, StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.files import files_behind
from reasonmaxxer.recipe import dump_recipe

RECORD, COST, SCRATCH = "stage.json", "cost.json", "scratch"
STAGES = ("problems", "rollouts", "signal", "training", "evaluation", "inspection")


CONTENTS = "contents.json"
"""Of a run: hashes of the files it reads besides problems, a local model's among them."""


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
        counts: numbers for `stage.json`.
    """

    folder: Path
    meter: Meter
    spent: StageCost | None
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        """What is needed no longer once the stage is done; it is removed then."""
        return self.folder / SCRATCH

    @property
    def cost(self) -> StageCost:
        """All attempts at this stage together, up to now."""
        now = self.meter.snapshot()
        return self.spent + now if self.spent else now

    def save_cost(self) -> None:
        """Make the cost so far durable; call it after each durable piece of work."""
        write_json(self.cost.to_dict(), self.folder / COST)


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
        return (self.path / stage / RECORD).is_file()

    def is_recorded(self, stage: str) -> bool:
        """Whether a stage's work is done, though its folder may not have taken its name."""
        return self.is_done(stage) or (self.partial(stage) / RECORD).is_file()

    def partial(self, stage: str) -> Path:
        """Where a stage works until it is complete."""
        return self.path / _folders(stage)[1]

    def record(self, stage: str) -> dict[str, Any]:
        """A complete stage's `stage.json`."""
        record: dict[str, Any] = read_json(self.path / stage / RECORD)
        return record

    def costs(self) -> list[StageCost]:
        """Cost of each complete stage, in order."""
        return [StageCost.from_dict(self.record(s)["cost"]) for s in STAGES if self.is_done(s)]

    def run_stage(
        self, stage: str, inputs: tuple[str, ...], work: Callable[[StageWork], None]
    ) -> None:
        """Do a stage's work unless it is done, then record it.

        Args:
            stage: its name, also its folder's.
            inputs: stages whose artifacts it reads.
            work: fills the folder; called again after a kill with what was left there.
        """
        if self.is_done(stage):
            return
        partial = self.partial(stage)
        partial.mkdir(exist_ok=True)
        if not self.is_recorded(stage):
            self._work(stage, inputs, work, partial)
        (partial / COST).unlink(missing_ok=True)
        if (partial / SCRATCH).exists():
            shutil.rmtree(partial / SCRATCH)
        partial.replace(self.path / stage)

    def _work(
        self,
        stage: str,
        inputs: tuple[str, ...],
        work: Callable[[StageWork], None],
        partial: Path,
    ) -> None:
        """Do a stage's work, then write its record."""
        spent = (
            StageCost.from_dict(read_json(partial / COST)) if (partial / COST).exists() else None
        )
        started = _now()
        with Meter(stage, self.device, self.usd_per_hour) as meter:
            done = StageWork(partial, meter, spent)
            work(done)
        write_json(
            {
                "stage": stage,
                "config": self.recipe.model_dump(mode="json"),
                "config_hash": self.recipe.hash(),
                "inputs": {name: self.record(name)["artifacts"] for name in inputs},
                "artifacts": folder_hash(partial, without=SCRATCH),
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


def read_recipe_values(run: Path) -> dict[str, Any]:
    """The resolved recipe in a run directory, as it was written.

    Raises:
        UserError: the folder is no run directory; it names those that lie in it.
    """
    written = run / "recipe.yaml"
    if not written.is_file():
        runs = sorted(path.parent for path in run.glob("*/recipe.yaml"))
        below = f" Runs in it: {', '.join(map(str, runs[:5]))}." if runs else ""
        raise UserError(
            f"{run} is not a run directory: it has no recipe.yaml.{below} A run directory is what "
            "`reasonmaxxer run` calls --out."
        )
    values: dict[str, Any] = yaml.safe_load(written.read_text(encoding="utf-8"))
    return values


def read_contents(run: Path) -> dict[str, str]:
    """Hashes of the files that a run read, by path; of an older run none."""
    written = run / CONTENTS
    return read_json(written) if written.is_file() else {}


def changed_since(run: Path, recipe: Recipe) -> list[str]:
    """Files that a run read, and whose content is another now, of those that a recipe reads too."""
    now = contents(*_read_by(recipe))
    there = read_contents(run)
    return [file for file in now if there.get(file, now[file]) != now[file]]


def _claim(path: Path, recipe: Recipe) -> None:
    """Make the folder this recipe's, or refuse."""
    written = path / "recipe.yaml"
    if written.is_file():
        there = yaml.safe_load(written.read_text(encoding="utf-8"))
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
    return (recipe.verify.file, recipe.rollouts.imported, *files_behind(recipe.model.name))


def _begun(path: Path) -> bool:
    """Whether a run directory holds what took long, or is at work; problems alone yield."""
    folders = [path / name for stage in STAGES[1:] for name in _folders(stage)]
    made = (file.suffix for folder in folders for file in folder.rglob("*"))
    return is_locked(path) or any(suffix in {".parquet", ".safetensors"} for suffix in made)


def _folders(stage: str) -> tuple[str, str]:
    """Names of a stage's folder, and of it while it is at work."""
    return stage, f".{stage}.partial"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
