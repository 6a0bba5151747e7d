"""Estimates, counts and pairs of models as text."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "not defined"

Estimate = Mapping[str, Any]
"""`value`, `low` and `high`, each null where nothing defines it."""


def share(estimate: Estimate, digits: int = 1) -> str:
    """A share with its interval, in percent."""
    return _interval(estimate, f".{digits}%")


def number(estimate: Estimate, digits: int = 2) -> str:
    """A number with its interval."""
    return _interval(estimate, f".{digits}f")


def signed(estimate: Estimate) -> str:
    """A difference of accuracies with its interval, signed."""
    return _interval(estimate, "+.3f")


def _interval(estimate: Estimate, form: str) -> str:
    if estimate["value"] is None:
        return UNKNOWN
    value, low, high = (format(estimate[name], form) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def counted(count: int, one: str) -> str:
    """`1 problem`, `2,000 problems`."""
    return f"{count:,} {one if count == 1 else f'{one}s'}"


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def pair_name(summary: Mapping[str, Any]) -> str:
    """The two models of a comparison."""
    return f"{summary['base']['name']} → {summary['tuned']['name']}"
