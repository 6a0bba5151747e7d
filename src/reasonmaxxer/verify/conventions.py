"""What each benchmark asks of an answer; `docs/grading.md` gives the sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reasonmaxxer.config import Order, Percent, Units, VerifyConfig
from reasonmaxxer.problems.catalogue import CATALOGUE
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


def conventions_of(problem: Problem, config: VerifyConfig) -> Conventions:
    """Conventions of the configuration and of the problem's benchmark, which is `metadata["benchmark"]`.

    Those of a benchmark are in the catalogue; where one names a column, such as OlympiadBench's `error`, the value
    is that of the problem's metadata. A problem without a benchmark in the catalogue is compared exactly.
    """
    benchmark = CATALOGUE.get(str(problem.metadata.get("benchmark")))
    listed = benchmark.conventions if benchmark else {}
    values = {name: problem.metadata.get(value) if isinstance(value, str) else value for name, value in listed.items()}
    return Conventions(
        relative_tolerance=_tolerance(values.get("relative_tolerance")),
        absolute_tolerance=_tolerance(values.get("absolute_tolerance")),
        several=values.get("several") is True,
        percent=config.percent,
        units=config.units,
        order=config.order,
    )


def _tolerance(value: Any) -> float:
    """A finite positive number or text of one, as OlympiadBench's rows have it; all else is none."""
    try:
        tolerance = float(value or 0)
    except (TypeError, ValueError):
        return 0.0
    return tolerance if 0 < tolerance < float("inf") else 0.0
