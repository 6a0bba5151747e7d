"""Grades a JSON Lines file of gold answers and predictions: the verifier tried on the user's data."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import write_text
from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.answers import answer_of, gold_answer
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.problems.files import read_json_lines
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify.extract import extract
from reasonmaxxer.verify.outcome import Grade, Outcome
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


Row = tuple[Problem, str]
"""A line of the file as a problem, whose metadata are the line's values, and the prediction."""


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
            grades += verifier.grade_answers([(problem, _answer(text, config)) for problem, text in part])
            on_done(len(part))
    seconds = time.perf_counter() - begin
    graded = [(problem, grade) for (problem, _), grade in zip(rows, grades, strict=True)]
    write_text("".join(_line(problem, grade) for problem, grade in graded), out)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for problem, grade in graded:
        outcomes[str(problem.metadata.get("benchmark") or "")][grade.outcome.value] += 1
    failed = [(problem, grade) for problem, grade in graded if grade.outcome is Outcome.ERROR]
    return GradedFile(out, outcomes, failed, seconds)


def _answer(prediction: str, config: VerifyConfig) -> str | None:
    return answer_of(prediction) if config.extraction == "auto" else extract(prediction, config.extraction)


def _line(problem: Problem, grade: Grade) -> str:
    found = {"outcome": grade.outcome.value, "extracted": grade.extracted}
    found |= {"detail": grade.detail} if grade.detail else {}
    return json.dumps({**problem.metadata, **found}) + "\n"  # ASCII: a lone surrogate is not UTF-8


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON Lines file with `gold` and `prediction`, and perhaps `benchmark`.

    `gold` is an answer, or a solution that ends in `####` or a box. Other columns are kept; OlympiadBench's
    `error` and `is_multiple_answer` count.

    Raises:
        UserError: no such file, no rows, or a line that is not such a row.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; check the path.")
    rows = [_row(values, place) for place, values in read_json_lines(path, surrogates=True)]
    if not rows:
        raise UserError(f"{path} has no rows; give one JSON object a line with 'gold' and 'prediction'.")
    return rows


def _row(values: Mapping[str, Any], place: str) -> Row:
    gold = _text(values, "gold", place)
    if not gold.strip():
        raise UserError(f"{place}: 'gold' is empty; fill it or drop the row.")
    benchmark = values.get("benchmark")
    if benchmark is not None and benchmark not in list(CATALOGUE):
        raise UserError(
            f"{place}: 'benchmark' {benchmark!r} has no conventions; give one of {', '.join(CATALOGUE)}, "
            f"or leave it out to compare exactly.{did_you_mean(str(benchmark), CATALOGUE)}"
        )
    problem = Problem(place, "", gold_answer(gold) or gold.strip(), "", metadata=values)
    return problem, _text(values, "prediction", place)


def _text(values: Mapping[str, Any], field: str, place: str) -> str:
    value = values.get(field)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value != value:
        there = f"is {str(value)[:40]!r}" if field in values else f"is missing (there are {', '.join(values)})"
        raise UserError(f"{place}: '{field}' {there}; give it as text or a number.")
    return str(value)
