"""The folder of one command: it belongs to one config, and to one process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.artifacts import (
    AGAIN,
    CONTENT,
    check_files,
    contents,
    differences,
    folder_files,
    folder_lock,
    read_object,
    read_table,
    read_yaml,
    write_json,
    write_text,
)
from reasonmaxxer.config import Config
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, problems_table

WRITTEN = "config.yaml"
LOCK = ".lock"
FILES = "files.json"
"""Size and hash of every table and weight file, unless a command is at work or was killed."""
PROBLEMS = "problems.parquet"
COSTLESS = frozenset({WRITTEN, LOCK, FILES, PROBLEMS, "train.parquet", "test.parquet"})
"""Names of files that are soon made again."""


@contextmanager
def claimed(folder: Path, command: str, config: Config, *files: str | None) -> Iterator[None]:
    """Make a folder one command's with one config while the block runs; the same again goes on there.

    One that holds nothing but problems yet yields to another config.

    Args:
        folder: made if it is not there.
        command: whose it is.
        config: what it does.
        files: what it reads besides problems; their content counts like the config.

    Raises:
        UserError: it holds something else, a file in it is damaged, or another process is at work in it.
    """
    values = {"command": command, **config.identity(), "contents": contents(*files)}
    _refuse(folder, values)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        _refuse(folder, values)
        if not (folder / WRITTEN).is_file() or _differing(folder, values):
            for path in (p for p in folder.iterdir() if p.name != LOCK and _costless(p)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            write_text(text, folder / WRITTEN)
        check_folder(folder)
        (folder / FILES).unlink(missing_ok=True)
        try:
            yield
        finally:
            made = folder_files(folder).items()
            kept = {name: file for name, file in made if name.endswith(CONTENT)}
            write_json(kept, folder / FILES)


def check_folder(folder: Path) -> None:
    """Check that what a command has left in its folder is still there as it was.

    Raises:
        UserError: a file is missing or another; it says what to delete.
    """
    if (folder / FILES).is_file():
        remedy = (
            f"Delete what holds it in {folder}, with summary.json and {FILES} there, and give the same "
            "command again: it makes them anew."
        )
        check_files(folder, read_object(folder / FILES, remedy=remedy), True, remedy)


def refuse_other_problems(folder: Path, table: str, problems: Sequence[Problem]) -> None:
    """Refuse a folder that answers other problems than these; one without answers yet yields.

    Args:
        folder: of the answers.
        table: the file in it that holds the problems.
        problems: of the source, now.

    Raises:
        UserError: the source was changed since.
    """
    path = folder / table
    if path.exists() and _begun(folder) and read_table(path) != problems_table(problems):
        raise UserError(
            f"{folder} was begun with other problems than its source has now ({table}). Choose another "
            "folder with --out, or give back the data it was begun with."
        )


def _refuse(folder: Path, values: dict[str, Any]) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (not (folder / WRITTEN).is_file() and any(folder.glob("[!.]*"))):
        raise UserError(
            f"{folder} exists and was not made by `reasonmaxxer {values['command']}`. Choose another "
            "folder with --out."
        )
    differing = _differing(folder, values)
    if differing and _begun(folder):
        raise UserError(
            f"{folder} holds other results ({'; '.join(differing[:3])}). Choose another folder "
            "with --out, or delete this one."
        )


def _differing(folder: Path, values: dict[str, Any]) -> list[str]:
    written = folder / WRITTEN
    if not written.is_file():
        return []
    there, now = read_yaml(written, AGAIN.format(folder)), values["contents"]
    read = there.get("contents", {})  # a model that is gone since has answered what is kept
    there["contents"] = {file: read.get(file, hashed) for file, hashed in now.items()}
    return differences(there, values)


def _begun(folder: Path) -> bool:
    """Whether there is more than the config and the problems."""
    return not all(_costless(path) for path in folder.iterdir())


def _costless(path: Path) -> bool:
    """Whether it is a table of problems or the like, or a folder of nothing else."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return all(file.name in COSTLESS for file in files)
