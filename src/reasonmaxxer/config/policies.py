"""How an intervention policy is written: NAME or NAME:BUDGET, perhaps `reverse-` before it.

What a name and a budget mean is in `reasonmaxxer.microscope.policies`.
"""

import math
from typing import Literal, NamedTuple

from reasonmaxxer.errors import did_you_mean

BudgetKind = Literal["all", "first", "share", "entropy", "divergence", "reranked", "tau"]
REVERSE, SEARCH = "reverse-", "fewest"
"""What stands before a policy whose models change places; the search for the fewest edits, beside the policies."""
_COUNTED: tuple[BudgetKind, ...] = ("first", "entropy", "divergence")
_EVERY: tuple[BudgetKind, ...] = ("all", *_COUNTED, "share", "reranked")
BUDGETS: dict[str, tuple[BudgetKind, ...]] = {
    "oracle": _EVERY,
    "random": _EVERY,
    "second": _EVERY,
    "gated": ("tau",),
    "matched": ("all",),
}
"""Budgets of each policy by name; the first is its default."""


class WrittenPolicy(NamedTuple):
    """A policy as it is written.

    Attributes:
        name: which tokens are put where.
        budget: which of its places count.
        value: of the budget; 0 where it has none.
        reverse: whether base tokens go into the tuned model's text.
    """

    name: str
    budget: BudgetKind
    value: float
    reverse: bool


def read_policy(text: str) -> WrittenPolicy:
    """A policy, read from its text.

    Raises:
        ValueError: an unknown name or budget, or a value that is out of range.
    """
    whole, reverse = text.removeprefix(REVERSE), text.startswith(REVERSE)
    name, _, budget = whole.partition(":")
    kind, _, value = budget.partition("=")
    if name not in BUDGETS:
        near = did_you_mean(name, (*BUDGETS, *(REVERSE + n for n in BUDGETS), SEARCH))
        raise ValueError(
            f"there is no policy '{name}' ('{text}').{near} There are {', '.join(BUDGETS)}, each also with "
            f"'{REVERSE}' before it, and {SEARCH}, the search"
        )
    allowed = BUDGETS[name]
    found = next((known for known in allowed if known == kind), None) if kind else allowed[0]
    if found is None:
        near = did_you_mean(kind, allowed)
        raise ValueError(f"'{name}' has no budget '{kind}' ('{text}').{near} Budgets of it: {', '.join(allowed)}")
    return WrittenPolicy(name, found, _value(text, found, value), reverse)


def _value(text: str, kind: BudgetKind, value: str) -> float:
    if kind in ("all", "reranked"):
        if value:
            raise ValueError(f"'{kind}' takes no value ('{text}')")
        return 0.0
    if kind == "tau" and not value:
        return 1.2
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    whole = kind in _COUNTED
    if not 0 <= number < math.inf or (whole and number % 1) or (kind == "share" and number > 1):
        what = "a whole number from 0" if whole else "a number from 0" + " to 1" * (kind == "share")
        raise ValueError(f"{kind} takes {what} ('{text}'), as in '{kind}={1 if whole else 0.5}'")
    return number
