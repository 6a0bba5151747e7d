"""Problems from a JSON Lines, JSON or Parquet file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.rows import Row, problems_from_rows

SUFFIXES = (".jsonl", ".json", ".parquet")


def is_file_source(source: str) -> bool:
    """Whether a source names a file, by its ending."""
    return source.endswith(SUFFIXES)


def file_problems(config: SourceConfig, where: str) -> list[Problem]:
    """Every problem of a file, in order; ids are `STEM/ROW` where no column has them.

    A .jsonl file holds one JSON object a line, a .json file that or one array of objects.

    Raises:
        UserError: no such file, an unreadable one, or rows that are not problems.
    """
    path = Path(config.source)
    if not path.is_file():
        raise UserError(f"{where}.source: there is no file {path}; check the path.")
    rows = _parquet(path, where) if path.suffix == ".parquet" else _json(path, where)
    return problems_from_rows(rows, config, stem=path.stem, domain=path.stem, where=where)


def _parquet(path: Path, where: str) -> list[Row]:
    try:
        rows: list[Row] = pq.ParquetFile(path).read().to_pylist()
    except pa.ArrowException as error:
        raise UserError(f"{where}.source: {path} is not a Parquet file: {error}") from error
    return rows


def _json(path: Path, where: str) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}.source: {path} is not UTF-8 text: {error}") from error
    if path.suffix == ".json" and text.lstrip().startswith("["):
        items = _parse(text, 1, path, where)
        return [_object(item, f"{path}, item {n} (from 0)", where) for n, item in enumerate(items)]
    lines = ((n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip())
    return [_object(_parse(line, n, path, where), f"{path}, line {n}", where) for n, line in lines]


def _parse(text: str, line: int, path: Path, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise UserError(
            f"{where}.source: {path}, line {at} is not valid JSON: {error.msg} at column "
            f"{error.colno}."
        ) from error


def _object(value: Any, place: str, where: str) -> Row:
    if not isinstance(value, dict):
        raise UserError(
            f"{where}.source: {place} must be a JSON object, not a {type(value).__name__}."
        )
    return value
