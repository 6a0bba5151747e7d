"""The problem table: one row a problem, metadata as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa

from reasonmaxxer.problems.problem import Problem

SCHEMA = pa.schema(
    [
        pa.field(name, pa.string(), nullable=False)
        for name in ("id", "text", "answer", "domain", "verifier", "metadata")
    ]
)


def problems_table(problems: Iterable[Problem]) -> pa.Table:
    """Rows as a table of `SCHEMA`; equal problems give equal bytes."""
    rows = [{**vars(problem), "metadata": _to_json(problem)} for problem in problems]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def problems_from_table(table: pa.Table) -> list[Problem]:
    """Rows back from a table."""
    rows = table.select(SCHEMA.names).to_pylist()
    return [Problem(**{**row, "metadata": json.loads(row["metadata"])}) for row in rows]


def _to_json(problem: Problem) -> str:
    metadata = dict(problem.metadata)
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False)
