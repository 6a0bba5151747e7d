"""The folder of one command: it belongs to one config, and to one process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from reasonmaxxer.artifacts import differences, folder_lock, write_text
from reasonmaxxer.config import Config
from reasonmaxxer.errors import UserError

WRITTEN = "config.yaml"
LOCK = ".lock"
COSTLESS = frozenset({WRITTEN, LOCK, "problems.parquet", "train.parquet", "test.parquet"})
"""Names of files that are soon made again."""


@contextmanager
def claimed(folder: Path, command: str, config: Config) -> Iterator[None]:
    """Make a folder one command's with one config while the block runs; the same again goes on there.

    One that holds nothing but problems yet yields to another config.

    Raises:
        UserError: it holds something else, or another process is at work in it.
    """
    values = {"command": command, **config.model_dump(mode="json")}
    _refuse(folder, values)
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        _refuse(folder, values)
        if not (folder / WRITTEN).is_file() or _differing(folder, values):
            for path in (p for p in folder.iterdir() if p.name != LOCK and _costless(p)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            write_text(text, folder / WRITTEN)
        yield


def _refuse(folder: Path, values: dict[str, object]) -> None:
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


def _differing(folder: Path, values: dict[str, object]) -> list[str]:
    written = folder / WRITTEN
    if not written.is_file():
        return []
    return differences(yaml.safe_load(written.read_text(encoding="utf-8")), values)


def _begun(folder: Path) -> bool:
    """Whether there is more than the config and the problems."""
    return not all(_costless(path) for path in folder.iterdir())


def _costless(path: Path) -> bool:
    """Whether it is a table of problems or the like, or a folder of nothing else."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return all(file.name in COSTLESS for file in files)
