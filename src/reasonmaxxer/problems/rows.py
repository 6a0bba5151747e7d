"""Rows of a table, whatever it was read from, as problems."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.answers import gold_answer
from reasonmaxxer.problems.problem import Problem

TEXT_COLUMNS = ("problem", "question", "prompt", "text", "input")
ANSWER_COLUMNS = (
    *("answer", "final_answer", "expected_answer", "target", "gold"),
    *("reward_model.ground_truth", "solution"),
)
ID_COLUMNS = ("id", "problem_id", "unique_id")
DOMAIN_COLUMNS = ("domain", "subject", "type")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """Which column holds what; None where there is none."""

    text: str
    answer: str
    id: str | None
    domain: str | None


def problems_from_rows(
    rows: Sequence[Row], config: SourceConfig, *, stem: str, domain: str, where: str
) -> list[Problem]:
    """One problem a row, in order.

    The answer is what follows the last `####` (without thousands separators), else the content of
    the last `\\boxed{}`, else the whole value; a `solution` found by its name alone must have one
    of the two marks. The domain is the column `domain`, `subject` or `type`, else `domain`. A field of
    a nested column is a column called `COLUMN.FIELD`, such as verl's `reward_model.ground_truth`. Other
    columns that hold scalars become metadata, decimals and dates as text.

    Args:
        rows: values by column.
        config: the column names, where they are not the usual ones.
        stem: what ids made from row numbers begin with.
        domain: of rows that have none.
        where: field named in errors.

    Raises:
        UserError: no rows, a missing column, or a row without text or answer (numbered from 0).
    """
    if not rows:
        raise UserError(f"{where}.source '{config.source}' has no rows; name one that has.")
    rows = [_flat(row) for row in rows]
    columns = _columns(rows, config, where)
    return [
        _problem(row, columns, config, f"{stem}/{number}", domain, _place(config, number, where))
        for number, row in enumerate(rows)
    ]


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


def _place(config: SourceConfig, number: int, where: str) -> str:
    return f"{where}: row {number} (from 0) of '{config.source}'"


def _columns(rows: Sequence[Row], config: SourceConfig, where: str) -> Columns:
    there = list(dict.fromkeys(column for row in rows for column in row))
    columns = {
        kind: _column(there, usual, getattr(config, f"{kind}_column"), f"{where}.{kind}_column")
        for kind, usual in (("text", TEXT_COLUMNS), ("answer", ANSWER_COLUMNS), ("id", ID_COLUMNS))
    }
    text, answer = columns["text"], columns["answer"]
    if text is None or answer is None:
        kind, usual = ("answer", ANSWER_COLUMNS) if text else ("text", TEXT_COLUMNS)
        raise UserError(
            f"{where}.{kind}_column must be set: '{config.source}' has none of the usual columns "
            f"({', '.join(usual)}) but {_listed(there)}."
        )
    return Columns(text, answer, columns["id"], _column(there, DOMAIN_COLUMNS, None, where))


def _column(there: Sequence[str], usual: Sequence[str], explicit: str | None, field: str) -> str | None:
    """The column asked for, else the first usual name there is, letter case aside."""
    if explicit is not None:
        if explicit not in there:
            raise UserError(
                f"{field} '{explicit}' is not a column; there are {_listed(there)}.{did_you_mean(explicit, there)}"
            )
        return explicit
    by_name = {column.casefold(): column for column in there}
    return next((by_name[name] for name in usual if name in by_name), None)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"'{column}'" for column in columns)


def _problem(row: Row, columns: Columns, config: SourceConfig, row_id: str, domain: str, place: str) -> Problem:
    answer = _text(row, columns.answer, place)
    found = extract_answer(answer)
    if found is None:
        guessed = config.answer_column is None and columns.answer.casefold() == "solution"
        if guessed:
            raise UserError(
                f"{place} has no \\boxed{{}} and no #### in '{columns.answer}'; set answer_column "
                "to the column that holds the answer alone."
            )
        found = answer
    if not found:
        raise UserError(f"{place} has an empty answer in '{columns.answer}'; fill it or drop it.")
    used = {columns.text, columns.answer, columns.id}
    return Problem(
        id=_text(row, columns.id, place) if columns.id else row_id,
        text=_text(row, columns.text, place),
        answer=found,
        domain=str((columns.domain and row.get(columns.domain)) or domain),
        metadata={k: v for k, v in row.items() if k not in used and _is_scalar(v)},
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


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def extract_answer(text: str) -> str | None:
    """The answer of a gold solution, without thousands separators; none if the text marks none."""
    found = gold_answer(text)
    return None if found is None else _ungrouped(found)


def _ungrouped(answer: str) -> str:
    """Without thousands separators; between brackets a comma separates members."""
    if any(bracket in answer for bracket in "([{"):
        return answer
    return _THOUSANDS.sub(lambda number: number[0].replace(",", ""), answer)
