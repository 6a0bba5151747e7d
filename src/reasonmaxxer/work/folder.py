"""What lies in a workspace, for whoever reads one: whose it is, and whether its stages are as they were left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from reasonmaxxer.artifacts import AGAIN, check_files, read_object, read_yaml
from reasonmaxxer.errors import UserError

RECIPE, CLAIM = "recipe.yaml", "workspace.json"
"""The resolved config, and whose the folder is."""
RECORD, SUMMARY, REPORT = "stage.json", "summary.json", "report.html"


@dataclass(frozen=True)
class Claim:
    """Whose a workspace is.

    Attributes:
        command: that filled it.
        stages: in order, also those to come.
        contents: hashes of the files that it read besides problems, by path.
        config: the resolved values of its config.
    """

    command: str
    stages: Sequence[str]
    contents: Mapping[str, str]
    config: Mapping[str, Any]


def open_workspace(path: Path, hashes: bool = True) -> Claim:
    """Whose a workspace is, once its stages are found whole: every reader of one begins here.

    Args:
        path: the folder.
        hashes: compare what the stages wrote by content, not by size alone.

    Raises:
        UserError: the folder is no workspace, and it names those that lie in it; or a complete stage is damaged.
    """
    if not is_workspace(path):
        there = sorted(found.parent for found in path.glob(f"*/{CLAIM}"))
        hint = f" Runs in it: {', '.join(map(str, there[:5]))}." if there else ""
        if (path / RECIPE).is_file():
            hint += f" Its {RECIPE} can be run: `reasonmaxxer run {path / RECIPE}`."
        fault = f"it has no {CLAIM}" if path.is_dir() else "it is a file" if path.exists() else "it does not exist"
        raise UserError(
            f"{path} is not a run directory: {fault}.{hint} A run directory is what `reasonmaxxer run`, or another "
            "command, calls --out."
        )
    claim = read_claim(path)
    for stage in claim.stages:
        if (path / stage).is_dir():
            read_record(path, stage, hashes)
    return claim


def open_run(path: Path) -> dict[str, Any]:
    """The resolved recipe of a run, once its stages are found whole, as by `open_workspace`.

    Raises:
        UserError: as by `open_workspace`, or it was filled by another command than `run`.
    """
    claim = open_workspace(path)
    if claim.command != "run":
        raise UserError(f"{path} is not a run directory: `reasonmaxxer {claim.command}` filled it.")
    return dict(claim.config)


def finished_run(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """`summary.json` and the resolved recipe of a finished run.

    Raises:
        UserError: as by `open_run`, or it is not finished.
    """
    recipe = open_run(path)
    refuse_unfinished(path, "run")
    return read_object(path / SUMMARY, ("schema",)), recipe


def refuse_unfinished(path: Path, command: str) -> None:
    """Refuse the folder of a command that has not come to its end.

    Raises:
        UserError: it has no summary.
    """
    if not (path / SUMMARY).is_file():
        raise UserError(
            f"The {command} in {path} is not finished: it has no {SUMMARY}. `reasonmaxxer show {path}` says where it "
            f"is; give its `reasonmaxxer {command}` command again to go on."
        )


def is_workspace(path: Path) -> bool:
    """Whether a command has claimed a folder."""
    return (path / RECIPE).is_file() and (path / CLAIM).is_file()


def read_claim(path: Path) -> Claim:
    """Whose a workspace is, without a look at its stages.

    Raises:
        UserError: what it says of itself is damaged.
    """
    remedy = f"Write it again with --print-config, or delete {path}."
    config = read_yaml(path / RECIPE, remedy)
    values = read_object(path / CLAIM, ("command", "stages", "contents"), AGAIN.format(path))
    return Claim(values["command"], values["stages"], values["contents"], config)


def read_record(path: Path, stage: str, hashes: bool = False) -> dict[str, Any]:
    """A complete stage's `stage.json`, once its files are found as it left them.

    Args:
        path: the workspace.
        stage: whose folder is there.
        hashes: compare its files by content, not by size alone.

    Raises:
        UserError: a file is missing or damaged, or the stage read another one than is there now.
    """
    folder = path / stage
    remedy = AGAIN.format(folder)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder / RECORD} is missing. {remedy}")
    record = read_object(folder / RECORD, ("artifacts", "files", "inputs", "counts", "cost"), remedy)
    check_files(folder, record["files"], hashes, remedy)
    for table in folder.rglob("*.parquet"):  # a shard too many would be read
        if table.relative_to(folder).as_posix() not in record["files"]:
            raise UserError(f"{table} was not written by this command. {remedy}")
    for name, digest in record["inputs"].items():
        source = path / name
        if not (source / RECORD).is_file():
            continue
        made = read_object(source / RECORD, ("artifacts",), AGAIN.format(source))
        if made["artifacts"] != digest:
            raise UserError(f"{folder} was made from other {name} than {source} holds. {remedy}")
    return record


def is_locked(path: Path) -> bool:
    """Whether a process is at work in a workspace; the folder is left as it is."""
    if not (path / ".lock").exists():
        return False
    lock = filelock.FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def partial_folder(folder: Path) -> Path:
    """Where a stage works until its folder is complete."""
    return folder.with_name(f".{folder.name}.partial")
