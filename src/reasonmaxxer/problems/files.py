"""Problems from a JSON Lines, JSON, CSV or Parquet file.

`datasets` reads these formats too, but gives a column one type: of the answers 007 and 1/2 it would keep
neither as it is written.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.rows import Row, problems_from_rows

TEXTS = (".jsonl", ".ndjson", ".json", ".csv")
SUFFIXES = (*TEXTS, *(f"{suffix}.gz" for suffix in TEXTS), ".parquet")


def is_file_source(source: str) -> bool:
    """Whether a source names a file, by its ending."""
    return source.lower().endswith(SUFFIXES) or Path(source).is_file()


def file_stem(source: str) -> str:
    """Name of a file source without its endings."""
    return Path(source.removesuffix(".gz")).stem


def file_problems(config: SourceConfig, where: str) -> list[Problem]:
    """Every problem of a file, in order; ids are `STEM/ROW` where no column has them.

    A .jsonl or .ndjson file holds one JSON object a line, a .json file that or one array of objects, a .csv
    file a header and text alone; `.gz` after that is read too.

    Raises:
        UserError: no such file, an unreadable one, or rows that are not problems.
    """
    path = Path(config.source)
    if not path.is_file():
        raise UserError(f"{where}.source: there is no file {path}; check the path.")
    if not path.name.lower().endswith(SUFFIXES):
        raise UserError(
            f"{where}.source: {path} is no file of problems by its ending; those read are {', '.join(SUFFIXES)}."
        )
    try:
        rows = _rows(path)
    except (pa.ArrowException, OSError, csv.Error, ValueError, LookupError, OverflowError) as error:
        kind = path.name.removesuffix(".gz").rpartition(".")[2]
        raise UserError(f"{where}.source: {path} is not a {kind} file: {error}") from error
    except UserError as error:
        raise UserError(f"{where}.source: {error}") from error
    stem = file_stem(config.source)
    return problems_from_rows(rows, config, stem=stem, domain=stem, where=where)


def read_json_lines(path: Path, surrogates: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and object of every line that holds something, of a file that may be compressed.

    Args:
        path: of the file.
        surrogates: allow lone surrogates, which are no text and cannot be tokenised.

    Raises:
        UserError: a line is not a JSON object, or the file is damaged.
    """
    try:
        with pa.input_stream(str(path)) as file:
            for number, line in enumerate(io.BufferedReader(file), start=1):
                place = f"{path}, line {number}"
                if line.strip():
                    yield place, _object(_parse(line, place, surrogates), place)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def _rows(path: Path) -> list[Row]:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(pq.ParquetFile(path).read())
    if name.endswith(".csv"):
        return _csv(pa.input_stream(str(path)).read().decode("utf-8-sig"))
    if name.endswith(".json"):
        content = pa.input_stream(str(path)).read()
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            items = enumerate(_parse(content, str(path)))
            return [_object(item, f"{path}, item {number} (from 0)") for number, item in items]
    return [row for _, row in read_json_lines(path)]


def _parquet(table: pa.Table) -> list[Row]:
    """Rows with numbers as they were written: 0.1 in 32 bits is not 0.10000000149."""
    _refuse_twice(table.column_names, "columns")
    rows: list[dict[str, Any]] = table.to_pylist()
    for field in table.schema:
        if pa.types.is_floating(field.type) and field.type.bit_width < 64:
            for row, value in zip(rows, table[field.name].to_numpy(), strict=True):
                row[field.name] = None if row[field.name] is None else float(str(value))
    return list(rows)


def _csv(text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _refuse_twice(reader.fieldnames or [], "columns")
    rows: list[Row] = []
    for row in reader:
        if None in row:
            raise csv.Error(f"line {reader.line_num} has more fields than the header")
        rows.append(row)
    return rows


def _parse(text: bytes, place: str, surrogates: bool = False) -> Any:
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
        if b"\\u" in text and not surrogates:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not valid JSON: {error}. Write it in UTF-8, and long numbers as text.") from error
    return value


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_twice([key for key, _ in pairs], "keys")
    return dict(pairs)


def _refuse_twice(names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"it has {what} twice: {', '.join(twice)}")


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place} must be a JSON object, not a {type(value).__name__}.")
    return value
