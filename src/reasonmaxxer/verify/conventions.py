"""What each benchmark asks of an answer; `docs/grading.md` gives the sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reasonmaxxer.config import Order, Percent, Units, VerifyConfig
from reasonmaxxer.problems.problem import Problem


@dataclass(frozen=True)
class Conventions:
    """How an answer may differ from the gold one and still be right.

    Attributes:
        relative_tolerance: of numbers, relative to the gold one.
        absolute_tolerance: of numbers.
        several: the gold answer lists several, in any order, so a comma never groups thousands.
        percent: a percent sign is `dropped`, so that 50% is 50, or means `hundredths`, so that it is 0.5.
        units: `compared` where both sides name a length, area, volume, time, mass, speed or sum of
            money, or `dropped`.
        order: of the members of a list: `any` or as `given`.
    """

    relative_tolerance: float = 0.0
    absolute_tolerance: float = 0.0
    several: bool = False
    percent: Percent = "dropped"
    units: Units = "compared"
    order: Order = "any"


EXACT = Conventions()
CONVENTIONS: dict[str, Conventions] = {
    "math500": EXACT,
    "math-train": EXACT,
    "gsm8k": EXACT,
    "gsm8k-train": EXACT,
    "amc23": EXACT,
    "aime24": EXACT,
    "aime25": EXACT,
    "minerva": Conventions(relative_tolerance=0.01),
    "olympiadbench": EXACT,
}


def conventions_of(problem: Problem, config: VerifyConfig) -> Conventions:
    """Those of the problem's benchmark and of the configuration, with what an OlympiadBench row says.

    Reads `benchmark` and, of OlympiadBench, `error` (an absolute tolerance) and `is_multiple_answer` of the
    metadata; what has no benchmark, or one that is not listed, is compared exactly.
    """
    row = problem.metadata
    benchmark = str(row.get("benchmark"))
    listed = replace(CONVENTIONS.get(benchmark, EXACT), percent=config.percent, units=config.units, order=config.order)
    if benchmark != "olympiadbench":
        return listed
    return replace(listed, absolute_tolerance=_error(row.get("error")), several=row.get("is_multiple_answer") is True)


def _error(value: Any) -> float:
    """A tolerance as OlympiadBench's rows have it, a finite number or text of one; all else is none."""
    try:
        tolerance = float(value or 0)
    except (TypeError, ValueError):
        return 0.0
    return tolerance if 0 < tolerance < float("inf") else 0.0
