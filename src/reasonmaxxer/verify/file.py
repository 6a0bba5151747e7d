"""Grades a JSON Lines file of gold answers and predictions: the verifier tried on data of one's own."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import write_text
from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.answers import answer_of, gold_answer
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify.conventions import CONVENTIONS
from reasonmaxxer.verify.extract import extract
from reasonmaxxer.verify.outcome import Grade
from reasonmaxxer.verify.verifier import Verifier

_AT_ONCE = 200  # rows between two reports of progress


@dataclass(frozen=True)
class GradedFile:
    """What became of a file's rows.

    Attributes:
        out: the file written: the rows, each with `outcome`, `extracted` and, where there is one, `detail`.
        outcomes: counts of outcomes by benchmark; rows without one are under an empty name.
        failed: problem and grade of the rows that ended in `error`.
        seconds: that grading took, the start of the workers included.
    """

    out: Path
    outcomes: Mapping[str, Counter[str]]
    failed: Sequence[tuple[Problem, Grade]]
    seconds: float

    @property
    def rows(self) -> int:
        """Rows graded."""
        return sum(counts.total() for counts in self.outcomes.values())


@dataclass(frozen=True)
class Row:
    """A line of the file: what it says, as a problem, and the prediction."""

    values: Mapping[str, Any]
    problem: Problem
    prediction: str


def grade_file(
    rows: Sequence[Row], out: Path, config: VerifyConfig, on_done: Callable[[int], None] = lambda done: None
) -> GradedFile:
    """Grade rows and write them with their outcomes.

    Args:
        rows: what `read_rows` gives.
        out: JSON Lines, replaced if it is there.
        config: `auto` extraction reads an answer alone or a completion (`answer_of`).
        on_done: told how many more rows were graded.
    """
    grades: list[Grade] = []
    begin = time.perf_counter()
    with Verifier(config, "qwen_boxed") as verifier:
        for first in range(0, len(rows), _AT_ONCE):
            part = rows[first : first + _AT_ONCE]
            grades += verifier.grade_answers([(r.problem, _answer(r, config)) for r in part])
            on_done(len(part))
    seconds = time.perf_counter() - begin
    pairs = list(zip(rows, grades, strict=True))
    write_text("".join(_line(row, grade) for row, grade in pairs), out)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for row, grade in pairs:
        outcomes[str(row.values.get("benchmark") or "")][grade.outcome.value] += 1
    return GradedFile(
        out, outcomes, [(row.problem, grade) for row, grade in pairs if grade.outcome.value == "error"], seconds
    )


def _answer(row: Row, config: VerifyConfig) -> str | None:
    if config.extraction == "auto":
        return answer_of(row.prediction)
    return extract(row.prediction, config.extraction)


def _line(row: Row, grade: Grade) -> str:
    found = {"outcome": grade.outcome.value, "extracted": grade.extracted}
    found |= {"detail": grade.detail} if grade.detail else {}
    return json.dumps({**row.values, **found}) + "\n"  # ASCII: a lone surrogate is not UTF-8


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON Lines file with `gold` and `prediction`, and perhaps `benchmark`.

    `gold` is an answer, or a solution that ends in `####` or a box. Other columns are kept; OlympiadBench's
    `error` and `is_multiple_answer` count.

    Raises:
        UserError: no such file, no rows, or a line that is not such a row.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; check the path.")
    rows = list(_rows(path))
    if not rows:
        raise UserError(f"{path} has no rows; give one JSON object a line with 'gold' and 'prediction'.")
    return rows


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _row(line, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error


def _row(line: str, place: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not valid JSON: {error}. Write one JSON object a line.") from error
    if not isinstance(values, dict):
        raise UserError(f"{place} must be a JSON object, not a {type(values).__name__}.")
    gold = _text(values, "gold", place)
    if not gold.strip():
        raise UserError(f"{place}: 'gold' is empty; fill it or drop the row.")
    benchmark = values.get("benchmark")
    if benchmark is not None and benchmark not in list(CONVENTIONS):
        raise UserError(
            f"{place}: 'benchmark' {benchmark!r} has no conventions; give one of {', '.join(CONVENTIONS)}, "
            f"or leave it out to compare exactly.{did_you_mean(str(benchmark), CONVENTIONS)}"
        )
    problem = Problem(place, "", gold_answer(gold) or gold.strip(), "", metadata=values)
    return Row(values, problem, _text(values, "prediction", place))


def _text(values: Mapping[str, Any], field: str, place: str) -> str:
    value = values.get(field)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value != value:
        there = f"is {str(value)[:40]!r}" if field in values else f"is missing (there are {', '.join(values)})"
        raise UserError(f"{place}: '{field}' {there}; give it as text or a number.")
    return str(value)
