"""Rows of a table, whatever it was read from, as problems."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.answers import gold_answer
from reasonmaxxer.problems.code import CODE_COLUMNS, code_parts, is_code
from reasonmaxxer.problems.problem import Problem

USUAL_COLUMNS = {
    "text": ("problem", "question", "prompt", "text", "input"),
    "answer": (
        *("answer", "final_answer", "expected_answer", "target", "gold"),
        *("reward_model.ground_truth", "solution"),
    ),
    "id": ("id", "problem_id", "unique_id"),
    "domain": ("domain", "subject", "type"),
}
"""Names under which a part of a problem is looked for, the first that is there."""
USUAL_CODE_COLUMNS = {**USUAL_COLUMNS, **CODE_COLUMNS}
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")

Row = Mapping[str, Any]


def problems_from_rows(
    rows: Sequence[Row], config: SourceConfig, *, stem: str, domain: str, where: str
) -> list[Problem]:
    """One problem a row, in order.

    The answer is what follows the last `####` (without thousands separators), else the content of
    the last `\\boxed{}`, else the whole value; a JSON list of one text is that text, and a `solution` found by
    its name alone must have one of the two marks. The domain is the column `domain`, `subject` or `type`, else
    `domain`. A field of a nested column is a column called `COLUMN.FIELD`, such as verl's
    `reward_model.ground_truth`. Other columns that hold scalars become metadata, decimals and dates as text.
    Rows of a table with the columns `tests` and `entry_point` are problems whose answers are programs, see
    `problems.code`.

    Args:
        rows: values by column.
        config: the column names, where they are not the usual ones.
        stem: what ids made from row numbers begin with.
        domain: of rows that have none.
        where: field named in errors.

    Raises:
        UserError: no rows, a missing column, or a row without text or answer (numbered from 0), or of a program
            with tests that cannot be.
    """
    if not rows:
        raise UserError(f"{where}.source '{config.source}' has no rows; name one that has.")
    rows = [_flat(row) for row in rows]
    code = is_code(rows, f"{where}: '{config.source}'")
    columns = _columns(rows, config, where, code)
    problems = []
    for number, row in enumerate(rows):
        place = f"{where}: row {number} (from 0) of '{config.source}'"
        if code:
            problems.append(_code_problem(row, columns, f"{stem}/{number}", place))
        else:
            problems.append(_problem(row, columns, config, f"{stem}/{number}", domain, place))
    return problems


def _flat(row: Row) -> dict[str, Any]:
    """With fields of nested columns as columns of their own, and values as JSON has them."""
    nested = {
        f"{column}.{field}": value
        for column, fields in row.items()
        if isinstance(fields, dict)
        for field, value in fields.items()
    }
    return {column: _plain(value) for column, value in {**row, **nested}.items()}


def _plain(value: Any) -> Any:
    """Decimals, dates and times as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value


def _columns(rows: Sequence[Row], config: SourceConfig, where: str, code: bool) -> dict[str, str]:
    """Which column holds each part of a problem; a text and, but of code, an answer there must be."""
    there = list(dict.fromkeys(column for row in rows for column in row))
    listed = ", ".join(f"'{column}'" for column in there)
    by_name = {column.casefold(): column for column in there}
    columns = {}
    for part, usual in (USUAL_CODE_COLUMNS if code else USUAL_COLUMNS).items():
        field, named = f"{where}.{part}_column", getattr(config, f"{part}_column", None)
        if named is not None and named not in there:
            raise UserError(f"{field} '{named}' is not a column; there are {listed}.{did_you_mean(named, there)}")
        found = next((by_name[name] for name in usual if name in by_name), None) if named is None else named
        if found is not None:
            columns[part] = found
        elif part == "text" or (part == "answer" and not code):
            raise UserError(
                f"{field} must be set: '{config.source}' has none of the usual columns ({', '.join(usual)}) "
                f"but {listed}."
            )
    return columns


def _problem(
    row: Row, columns: Mapping[str, str], config: SourceConfig, row_id: str, domain: str, place: str
) -> Problem:
    written = _listed_alone(_text(row, columns["answer"], place))
    answer = extract_answer(written)
    if answer is None:
        if config.answer_column is None and columns["answer"].casefold() == "solution":
            raise UserError(
                f"{place} has no \\boxed{{}} and no #### in '{columns['answer']}'; set answer_column "
                "to the column that holds the answer alone."
            )
        answer = written
    if not answer:
        raise UserError(f"{place} has an empty answer in '{columns['answer']}'; fill it or drop it.")
    used = [columns.get(part) for part in ("text", "answer", "id")]
    return Problem(
        id=_text(row, columns["id"], place) if "id" in columns else row_id,
        text=_text(row, columns["text"], place),
        answer=answer,
        domain=str(("domain" in columns and row.get(columns["domain"])) or domain),
        metadata={k: v for k, v in row.items() if k not in used and _is_scalar(v)},
    )


def _code_problem(row: Row, columns: Mapping[str, str], row_id: str, place: str) -> Problem:
    """A problem whose text is kept as it is where code continues it."""
    plain = _text(row, columns["text"], place)
    given = row[columns["text"]]
    parts = code_parts(row, given if isinstance(given, str) else plain, row.get(columns.get("answer", "")), place)
    used = [columns.get(part) for part in ("text", "answer", "id")]
    return Problem(
        id=_text(row, columns["id"], place) if "id" in columns else row_id,
        text=parts.text,
        answer=parts.reference,
        domain=str(("domain" in columns and row.get(columns["domain"])) or "code"),
        verifier="code",
        metadata={k: v for k, v in row.items() if k not in used and _is_scalar(v)} | parts.metadata,
    )


def _text(row: Row, column: str, place: str) -> str:
    """A string or a number as stripped text; a list of one is that one, a user's message what it says."""
    value = row.get(column)
    if isinstance(value, list) and len(value) == 1:
        value = _plain(value[0])
    if isinstance(value, dict) and value.get("role") == "user":
        value = value.get("content")
    text = str(value).strip() if _is_scalar(value) else ""
    if not text:
        raise UserError(
            f"{place} has no text or number in '{column}' but {value!r:.80}; write one there (a list of "
            "one, or one user message, will do) or drop the row."
        )
    return text


def _listed_alone(answer: str) -> str:
    """The text in a JSON list of one, written as text: some data sets have answers such as `["34"]`."""
    try:
        value = json.loads(answer) if answer.startswith('["') else None
    except ValueError:
        return answer
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and value[0].isprintable():
        return value[0]
    return answer  # of several, or with `\f` of a `\frac` that was not escaped


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def extract_answer(text: str) -> str | None:
    """The answer of a gold solution, without thousands separators; none if the text marks none.

    Between brackets a comma separates members, so there it stays.
    """
    found = gold_answer(text)
    if found is None or any(bracket in found for bracket in "([{"):
        return found
    return _THOUSANDS.sub(lambda number: number[0].replace(",", ""), found)
