"""What each benchmark asks of an answer; `docs/grading.md` gives the sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reasonmaxxer.problems.problem import Problem


@dataclass(frozen=True)
class Conventions:
    """How an answer may differ from the gold one and still be right.

    Attributes:
        relative_tolerance: of numbers, relative to the gold one.
        absolute_tolerance: of numbers.
        several: the gold answer lists several, in any order, so a comma never groups thousands.
        choices: a letter before the value, as in `(C) 12`, is the contest's and says nothing.
    """

    relative_tolerance: float = 0.0
    absolute_tolerance: float = 0.0
    several: bool = False
    choices: bool = False


EXACT = Conventions()
CONVENTIONS: dict[str, Conventions] = {
    "math500": EXACT,
    "math-train": EXACT,
    "gsm8k": EXACT,
    "gsm8k-train": EXACT,
    "amc23": Conventions(choices=True),
    "aime24": EXACT,
    "aime25": EXACT,
    "minerva": Conventions(relative_tolerance=0.01),
    "olympiadbench": EXACT,
}


def conventions_of(problem: Problem) -> Conventions:
    """Those of the problem's benchmark, with what its own row says (OlympiadBench).

    Reads `benchmark`, `error` (an absolute tolerance) and `is_multiple_answer` of the metadata; what
    has no benchmark, or one that is not listed, is compared exactly.
    """
    row = problem.metadata
    return replace(
        CONVENTIONS.get(str(row.get("benchmark")), EXACT),
        absolute_tolerance=_error(row),
        several=row.get("is_multiple_answer") is True,
    )


def _error(row: Mapping[str, Any]) -> float:
    """The row's own tolerance; one that is no number is none."""
    try:
        return max(0.0, float(row.get("error") or 0))
    except (TypeError, ValueError):
        return 0.0
