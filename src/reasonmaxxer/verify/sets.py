r"""Sets of real numbers in any notation: intervals, inequalities, unions, `\{x : ...\}`, complements."""

from __future__ import annotations

import re
from typing import Any

from sympy import Complement, Eq, FiniteSet, Ge, Gt, Intersection, Interval, Le, Lt, Ne, S, Symbol, Union, true

from reasonmaxxer.verify.algebra import parsed_expression
from reasonmaxxer.verify.latex import enclosed, split

_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|(?<![:\\])=)")
_RELATIONS = {"<": Lt, ">": Gt, r"\le": Le, r"\ge": Ge, r"\ne": Ne, "=": Eq}
_NAMED = {r"\mathbb{R}": S.Reals, r"\emptyset": S.EmptySet, r"\{\}": S.EmptySet, r"\mathbb{Z}": S.Integers}
_SETLIKE = re.compile(
    r"[<>]|\\(?:le|ge|ne|cup|cap|setminus|mathbb|emptyset)(?![A-Za-z])|\\infty.*[)\]]$|^\[.*\)$|^\(.*\]$"
)
_BUILDER = re.compile(r"\\?\{\s*([A-Za-z])\s*(?:\\in[^|:]*)?[|:](.*?)\\?\}", re.DOTALL)
_MEMBER = re.compile(r"([A-Za-z])(?:_\w)?\s*\\in(?![A-Za-z])\s*(.*)")
# What SymPy raises for what is no set of real numbers, and for sets that it cannot compare.
_NO_SET = (NotImplementedError, TypeError, ValueError, AttributeError)

Named = tuple[Any, frozenset[str]]
"""A SymPy set, and the names of the variable that it was given by."""


def is_setlike(text: str) -> bool:
    """Whether a cleaned answer is an inequality, a union, a half-open interval: what no number is."""
    return _SETLIKE.search(text) is not None


def same_set(gold: str, extracted: str) -> bool | None:
    """Whether two cleaned answers are the same set; none if one is none or they cannot be compared.

    Two inequalities must be of one variable; an interval is of any.
    """
    try:
        sides = _set(gold.strip()), _set(extracted.strip())
        if sides[0] is None or sides[1] is None:
            return None
        if len(sides[0][1] | sides[1][1]) > 1:
            return False if len(sides[0][1]) == len(sides[1][1]) == 1 else None
        same: bool | None = sides[0][0] == sides[1][0] or sides[0][0].symmetric_difference(sides[1][0]).is_empty
    except _NO_SET:
        return None
    return same


def _set(text: str) -> Named | None:
    if named := _BUILDER.fullmatch(text) or _MEMBER.fullmatch(text):
        inner = _set(named[2].strip())
        return inner and (inner[0], inner[1] | {named[1]})
    for kinds, combine in ((("or", "cup"), Union), (("and", "cap"), Intersection)):
        parts = [part.strip(" ,") for part in split(text, *kinds)]
        if len(parts) > 1:
            return _combined(parts, combine)
    parts = split(text, "list")
    if len(parts) > 1 and all(map(_RELATION.search, parts)):
        meet = _combined(parts, Intersection)
        return _combined(parts, Union) if meet and meet[0] == S.EmptySet else meet
    left, mark, right = text.partition(r"\setminus")
    if mark:
        sides = _set(left.strip()), _set(right.strip())
        return (Complement(sides[0][0], sides[1][0]), frozenset()) if sides[0] and sides[1] else None
    if _RELATION.search(text):
        return _inequality(text)
    if text in _NAMED:
        return _NAMED[text], frozenset()
    bracket = enclosed(text)
    inside = split(bracket[1], "list") if bracket else []
    if bracket and bracket[0] == r"\{":
        return FiniteSet(*map(_value, inside)), frozenset()
    if bracket and len(inside) == 2:
        return Interval(*map(_value, inside), bracket[0] == "(", bracket[2] == ")"), frozenset()
    return None


def _combined(parts: list[str], combine: Any) -> Named | None:
    sets = [found for part in parts if (found := _set(part))]
    if len(sets) < len(parts):
        return None
    return combine(*(found[0] for found in sets)), frozenset[str]().union(*(found[1] for found in sets))


def _value(text: str) -> Any:
    parsed: Any = parsed_expression(text)
    if parsed is None or getattr(parsed, "free_symbols", None):
        raise ValueError(f"{text} is no number")
    return parsed.doit()


def _inequality(text: str) -> Named | None:
    """A chain such as 2 < x <= 9, solved for its one variable."""
    sides = [part.strip() for part in _RELATION.split(text)]
    values: list[Any] = [parsed_expression(side) for side in sides[::2]]
    if None in values:
        return None
    symbols = set().union(*(value.free_symbols for value in values))
    if len(symbols) != 1:
        return None
    symbol = symbols.pop()
    real = Symbol(str(symbol), real=True)
    found = S.Reals
    for left, kind, right in zip(values, sides[1::2], values[1:], strict=False):
        relation = _RELATIONS[kind](left.doit().xreplace({symbol: real}), right.doit().xreplace({symbol: real}))
        solved = relation.as_set() if hasattr(relation, "as_set") else None
        found = Intersection(found, S.Reals if relation == true else solved)
    return found, frozenset({str(symbol)})
