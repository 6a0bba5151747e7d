"""Files that are either whole or absent: Parquet tables, JSON, and stage folders.

Everything is written to a temporary sibling, flushed to disk and renamed, so that a reader, or the
next run after a kill, never meets half a file. One that was damaged later is refused by name.
"""

import errno
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from reasonmaxxer.errors import UserError

CONTENT = (".parquet", ".safetensors")
"""Endings of the files that hold what was made: tables and weights."""
AGAIN = "Delete {} and give the same command again: it makes it anew."
"""What to do about a damaged file or folder of ours."""
IN_USE = "{} is in use by another process. Wait for it, or choose another --out."


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, to write into; one that is there stays.

    Raises:
        UserError: it cannot be made, or not be written into.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(f"The folder {path} cannot be made ({error.strerror}). Choose another place.") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"The folder {path} is read-only. Choose another place, or change its permissions.")


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, for what takes long to make; its folder is made.

    Raises:
        UserError: it is a folder, or as by `make_folder`.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name a file.")
    make_folder(path.parent)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A sibling to write, `.NAME.tmp`, that takes the name, flushed to disk, when the block ends.

    Raises:
        UserError: as by `check_target`.
    """
    check_target(path)
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def schema(columns: Mapping[str, pa.DataType], nullable: Collection[str] = ()) -> pa.Schema:
    """Schema of a table whose columns hold no nulls, but for those named in `nullable`."""
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns.items()])


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet table (zstd); the same rows give the same bytes."""
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet file, or only some of its columns.

    Raises:
        UserError: it is damaged.
    """
    try:
        return pq.ParquetFile(path).read(columns=list(columns) if columns else None)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:  # the latter where a page does not unpack
        raise _damaged(path, error) from error


def write_text(text: str, path: Path) -> None:
    """Write a file of UTF-8 text."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(value: Any, path: Path) -> None:
    """Write indented JSON; NaN is refused."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def read_json(path: Path, remedy: str = AGAIN.format("it")) -> Any:
    """Read JSON.

    Raises:
        UserError: it is damaged; the remedy follows.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of the encoding, the syntax or the depth
        raise _damaged(path, error, remedy) from error


def read_object(path: Path, keys: Sequence[str] = (), remedy: str = AGAIN.format("it")) -> dict[str, Any]:
    """Read a JSON object that has some keys.

    Raises:
        UserError: it is damaged, or no such object; the remedy follows.
    """
    value = read_json(path, remedy)
    if not isinstance(value, dict):
        raise _damaged(path, ValueError("it holds no object"), remedy)
    for key in keys:
        if value.get(key) is None:
            raise _damaged(path, ValueError(f"it holds no '{key}'"), remedy)
    return value


def yaml_text(values: Mapping[str, Any]) -> str:
    """Values in YAML, in their order."""
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def read_yaml(path: Path, remedy: str) -> dict[str, Any]:
    """Read a mapping in YAML.

    Raises:
        UserError: it is damaged; the remedy follows.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
        raise ValueError("it holds no keys")
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _damaged(path, error, remedy) from error


def _damaged(path: Path, error: Exception, remedy: str = AGAIN.format("it")) -> UserError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{path} is damaged ({said}). {remedy}")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A sibling to fill, `.NAME.partial`, that takes the name when the block ends.

    After a kill it is still there, with what was left in it.
    """
    partial = path.with_name(f".{path.name}.partial")
    make_folder(partial)
    yield partial
    partial.replace(path)


@contextmanager
def folder_lock(path: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the system frees the lock when a process dies.

    Raises:
        UserError: another process is at work here.
    """
    lock = filelock.FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UserError(IN_USE.format(path)) from error
    try:
        yield
    finally:
        lock.release()


def differences(there: Any, here: Any, prefix: str = "") -> list[str]:
    """How two nested mappings differ, a phrase a key."""
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            line
            for key in [*here, *(k for k in there if k not in here)]
            for line in differences(there.get(key), here.get(key), f"{prefix}{key}.")
        ]
    return [] if there == here else [f"{prefix[:-1]} is {there} there and {here} here"]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return leaves


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; read once a process unless it is written to."""
    stat = path.stat()
    return _hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _hash(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def contents(*files: str | None) -> dict[str, str]:
    """Hashes of those files that are there, by path."""
    return {file: file_hash(Path(file)) for file in files if file and Path(file).is_file()}


def folder_files(folder: Path, without: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file of a folder, by its path in it.

    Args:
        folder: to describe.
        without: files and subfolders of it to leave out; hidden ones are left out too.
    """
    paths = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    return {
        name.as_posix(): {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for name, path in paths
        if path.is_file() and name.parts[0] not in without and not path.name.startswith(".")
    }


def files_hash(files: dict[str, dict[str, Any]]) -> str:
    """SHA-256 over the names and hashes of the tables and weights among `folder_files`."""
    lines = [f"{name} {file['sha256']}" for name, file in files.items() if name.endswith(CONTENT)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_files(folder: Path, files: dict[str, dict[str, Any]], hashes: bool, remedy: str) -> None:
    """Compare a folder with what `folder_files` said when it was made.

    Args:
        folder: to check.
        files: of `folder_files`.
        hashes: compare contents too, not sizes alone.
        remedy: a sentence for the error.

    Raises:
        UserError: a file is missing, or another.
    """
    for name, file in files.items():
        path = folder / name
        if not path.is_file():
            fault = "is missing"
        elif (size := path.stat().st_size) != file["bytes"]:
            fault = f"has {size:,} bytes, not the {file['bytes']:,} that were written"
        elif hashes and file_hash(path) != file["sha256"]:
            fault = "was changed since it was written"
        else:
            continue
        raise UserError(f"{path} {fault}. {remedy}")
