"""The workspace: one folder of one command, in which every stage is whole or absent.

A workspace belongs to one config and to one process at a time. A stage works in `.NAME.partial`, which
survives a kill. Once `stage.json` is in place its work is done: what only an unfinished stage needs is
removed and the folder renamed to `NAME`. What a stage has cost is kept beside its work, so that the ledger
of a command that was killed and taken up again still counts what was spent up to the last durable piece: it
is written just before that piece takes its name, and counts if the piece is there.

The same for every command, so that `show`, the ledger and `--reuse` need to know none of them.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, TypedDict

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import (
    CONTENT,
    IN_USE,
    contents,
    differences,
    files_hash,
    folder_files,
    folder_lock,
    make_folder,
    read_object,
    read_table,
    write_json,
    write_text,
    yaml_text,
)
from reasonmaxxer.config import Config
from reasonmaxxer.cost import Meter, Price, StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.work.folder import (
    CLAIM,
    RECIPE,
    RECORD,
    REPORT,
    SUMMARY,
    Claim,
    is_locked,
    is_workspace,
    open_workspace,
    partial_folder,
    read_claim,
    read_record,
)
from reasonmaxxer.work.stage_work import AT_WORK, COST, SCRATCH, StageWork, spent_before

UNKNOWN = Price(None, None)
PROBLEMS = ("problems.parquet", "train.parquet", "validation.parquet", "test.parquet")
"""Tables that are soon made again: a folder that holds no others yields to another config."""


class Ledger(TypedDict):
    """`cost` in `summary.json`: `StageCost` of each stage and of all together, and the price of the machine."""

    stages: list[dict[str, Any]]
    total: dict[str, Any]
    price: dict[str, Any]


class Options(TypedDict, total=False):
    """What every command's function takes besides config, folder and display.

    Attributes:
        reuse: another folder of the command, whose stages are taken over where the same would be done again.
        trust_remote_code: let the models' repositories run their own code.
    """

    reuse: Path | None
    trust_remote_code: bool


def trusts(options: Options) -> bool:
    """Whether code of models' repositories may run."""
    return options.get("trust_remote_code", False)


class Workspace:
    """The folder of one command with one config.

    Where only fields outside the config's identity differ from those that it was begun with, it is not finished any
    more, and its stages stay.

    Args:
        path: made if it is not there.
        command: `run`, `diff`, ...
        config: what is done in it.
        stages: in order; a name may have a folder before it (`students/o-8`).
        files: what the command reads besides problems; their content counts like the config.
        device: torch device whose memory is measured.
        price: of the machine.

    Raises:
        UserError: the folder holds results of another config that have come beyond its problems, or something
            else.
    """

    def __init__(
        self,
        path: Path,
        command: str,
        config: Config,
        *,
        stages: Sequence[str] = (),
        files: Sequence[str | None] = (),
        device: str = "cpu",
        price: Price = UNKNOWN,
    ) -> None:
        self.path, self.command, self.config, self.stages = path, command, config, stages
        self.device, self.price = device, price
        self.contents = contents(*files)
        self._made = False
        self._claim()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out while the block runs, once every file is found as it was left.

        Raises:
            UserError: another process is at work here, or a complete stage is damaged.
        """
        with folder_lock(self.path):
            open_workspace(self.path)
            if not all(map(self.is_done, self.stages)):  # of a finished command, too, one may have been deleted
                self.unfinish()
            try:
                yield
            except UserError:
                if self._made and not any(self.is_done(s) or self.partial(s).exists() for s in self.stages):
                    shutil.rmtree(self.path)  # refused before anything was done
                raise

    @property
    def summary(self) -> dict[str, Any] | None:
        """What `summary.json` of a finished command holds."""
        path = self.path / SUMMARY
        return read_object(path, ("schema",)) if path.is_file() else None

    def is_done(self, stage: str) -> bool:
        """Whether a stage is complete."""
        return (self.path / stage).is_dir()

    def is_recorded(self, stage: str) -> bool:
        """Whether a stage's work is done, though its folder may not have taken its name."""
        return self.is_done(stage) or (self.partial(stage) / RECORD).is_file()

    def partial(self, stage: str) -> Path:
        """Where a stage works until it is complete."""
        return partial_folder(self.path / stage)

    def record(self, stage: str) -> dict[str, Any]:
        """A complete stage's `stage.json`, its files checked by size."""
        return read_record(self.path, stage)

    def counts(self, stage: str) -> Any:
        """What a complete stage has put on record; the stage's module has its type."""
        return self.record(stage)["counts"]

    def ledger(self) -> Ledger:
        """What each complete stage has cost and all together, for `summary.json`."""
        costs = [StageCost(**self.record(s)["cost"]) for s in self.stages if self.is_done(s)]
        return Ledger(
            stages=[asdict(cost) for cost in costs],
            total=asdict(reduce(add, costs)) | {"stage": "total"},
            price=asdict(self.price),
        )

    def run_stage(self, stage: str, inputs: Sequence[str], work: Callable[[StageWork], None]) -> None:
        """Do a stage's work unless it is done from the same inputs, then record it.

        Args:
            stage: its name, also its folder's.
            inputs: stages whose artifacts it reads.
            work: fills the folder; called again after a kill with what was left there.
        """
        if self.is_done(stage):
            if set(self.record(stage)["inputs"]) == set(inputs):
                return
            shutil.rmtree(self.path / stage)
        self.unfinish()
        partial = self.partial(stage)
        partial.mkdir(parents=True, exist_ok=True)
        if not self.is_recorded(stage):
            self._work(stage, inputs, work, partial)
        for path in (partial / COST, partial / AT_WORK, *partial.rglob(".*.tmp")):
            path.unlink(missing_ok=True)
        if (partial / SCRATCH).exists():
            shutil.rmtree(partial / SCRATCH)
        partial.replace(self.path / stage)

    def reopen(self, stage: str, *dependents: str) -> None:
        """Go on with a complete stage, which shall hold more; what it has cost stays on its account.

        Args:
            stage: it is complete.
            dependents: stages that read it, and are soon made again.
        """
        record, partial = self.record(stage), self.partial(stage)
        self.unfinish()
        for name in dependents:
            shutil.rmtree(self.path / name, ignore_errors=True)
        (self.path / stage).replace(partial)
        write_json({**record["cost"], "piece": "."}, partial / COST)
        (partial / RECORD).unlink()

    def unfinish(self) -> None:
        """Remove what was made of all stages: the summary and the page."""
        for name in (SUMMARY, REPORT):
            (self.path / name).unlink(missing_ok=True)

    def refuse_other_problems(self, table: str, problems: Sequence[Problem]) -> None:
        """Refuse to go on with other problems than those that were answered.

        Args:
            table: path of the table that holds them, `STAGE/NAME.parquet`.
            problems: of the source, now.

        Raises:
            UserError: the source was changed since.
        """
        stage, _, name = table.rpartition("/")
        path = next((p / name for p in (self.path / stage, self.partial(stage)) if (p / name).exists()), None)
        if path is None or read_table(path) == problems_table(problems):
            return
        if self._holds_results():
            raise UserError(
                f"{self.path} was begun with other problems than its source has now ({table}). Choose another "
                "folder with --out, or give back the data it was begun with."
            )
        self._clear()

    def _work(self, stage: str, inputs: Sequence[str], work: Callable[[StageWork], None], partial: Path) -> None:
        """Do a stage's work, then write its record."""
        spent, started = spent_before(partial), _now()
        config = self.config.model_dump(mode="json")
        with Meter(stage, self.device, self.price.usd_per_hour) as meter:
            done = StageWork(partial, meter, spent)
            work(done)
        files = folder_files(partial, without=(SCRATCH, COST, AT_WORK))
        write_json(
            {
                "stage": stage,
                "config": config,
                "config_hash": self.config.hash(),
                "inputs": {name: self.record(name)["artifacts"] for name in inputs},
                "artifacts": files_hash(files),
                "files": files,
                "package_version": __version__,
                "seed": config.get("seed"),
                "counts": done.counts,
                "cost": asdict(done.cost),
                "started": started,
                "finished": _now(),
            },
            partial / RECORD,
        )

    def _claim(self) -> None:
        """Make the folder this config's, or refuse."""
        path, values = self.path, self.config.model_dump(mode="json")
        if is_workspace(path):
            there = read_claim(path)
            differing = self._differing(there)
            if differing and (is_locked(path) or self._holds_results()):
                raise UserError(
                    f"{path} holds other results ({'; '.join(differing[:3])}). Choose another folder with --out, "
                    "or delete this one."
                )
            if differing:
                self._clear()
            else:  # of a key outside the identity; what is complete stays in the ledger
                self.stages = list(dict.fromkeys([*self.stages, *filter(self.is_done, there.stages)]))
                if there.config == values and list(there.stages) == self.stages:
                    return
                if is_locked(path):
                    raise UserError(IN_USE.format(path))
                self.unfinish()
        elif path.exists() and (not path.is_dir() or any(found.name != CLAIM for found in path.glob("[!.]*"))):
            raise UserError(
                f"{path} exists and was not made by `reasonmaxxer {self.command}`. Choose another folder with --out."
            )
        self._made = not path.exists()
        make_folder(path)
        # the claim first: a folder with nothing else, after a kill in between, yields
        write_json({"command": self.command, "stages": self.stages, "contents": self.contents}, path / CLAIM)
        write_text(yaml_text(values), path / RECIPE)

    def _differing(self, there: Claim) -> list[str]:
        """How the results that a workspace was claimed for differ from these, a phrase each."""
        if there.command != self.command:
            return [f"those of `reasonmaxxer {there.command}`"]
        bound = {key: value for key, value in there.config.items() if key not in self.config.outside_identity}
        edited = (f"{file} was edited since" for file in self.edited_since(there))
        return [*differences(bound, self.config.identity()), *edited]

    def edited_since(self, there: Claim) -> list[str]:
        """Files that this command reads, and whose content was another when a workspace was claimed."""
        return [file for file, now in self.contents.items() if there.contents.get(file, now) != now]

    def _holds_results(self) -> bool:
        """Whether the folder holds what took long."""
        return any(
            path.suffix in CONTENT and path.name not in PROBLEMS and not path.name.startswith(".")
            for path in self.path.rglob("*")
        )

    def _clear(self) -> None:
        """Remove the stages; there is nothing in them but problems."""
        for stage in (*read_claim(self.path).stages, *self.stages):
            for folder in (self.path / stage, self.partial(stage)):
                shutil.rmtree(folder, ignore_errors=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
