r"""Sets of real numbers in any notation: intervals, inequalities, unions, `\{x : ...\}`, complements."""

from __future__ import annotations

import re
from typing import Any

from reasonmaxxer.verify.algebra import parsed_expression
from reasonmaxxer.verify.latex import enclosed, split

_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|(?<![:\\])=)")
_SETLIKE = re.compile(
    r"[<>]|\\(?:le|ge|ne|cup|cap|setminus|mathbb|emptyset)(?![A-Za-z])|\\infty.*[)\]]$|^\[.*\)$|^\(.*\]$"
)
_BUILDER = re.compile(r"\\?\{\s*([A-Za-z])\s*(\\in[^|:]*)?[|:](.*?)\\?\}", re.DOTALL)
_MEMBER = re.compile(r"([A-Za-z])(?:_\w)?\s*\\in(?![A-Za-z])\s*(.*)")
_WORD_SPLIT = {
    name: re.compile(rf"(?<![A-Za-z\\]){name}(?![A-Za-z])|\\{sign}(?![A-Za-z])")
    for name, sign in (("or", "cup"), ("and", "cap"))
}


def is_setlike(text: str) -> bool:
    """Whether a cleaned answer is an inequality, a union, a half-open interval: what no number is."""
    return _SETLIKE.search(text) is not None


def same_set(gold: str, extracted: str) -> bool | None:
    """Whether two cleaned answers are the same set; none if one is none or they cannot be compared.

    Two inequalities must be of one variable; an interval is of any.
    """
    sides = _read(gold), _read(extracted)
    if sides[0] is None or sides[1] is None:
        return None
    names = sides[0][1] | sides[1][1]
    if len(names) > 1:
        return False if len(sides[0][1]) == len(sides[1][1]) == 1 else None
    return _equal(sides[0][0], sides[1][0])


def _equal(gold: Any, extracted: Any) -> bool | None:
    if gold == extracted:
        return True
    try:
        return gold.symmetric_difference(extracted).is_empty  # type: ignore[no-any-return]
    except (NotImplementedError, TypeError, ValueError):
        return None  # sets that SymPy cannot compare


def _read(text: str) -> tuple[Any, set[str]] | None:
    """The set and the names of its variable."""
    try:
        return _set(text.strip())
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        return None  # no set of real numbers, as SymPy says in each of these ways


def _set(text: str) -> tuple[Any, set[str]] | None:
    from sympy import Complement, FiniteSet, Intersection, S, Union

    if builder := _BUILDER.fullmatch(text):
        inner = _set(builder[3].strip())
        return inner and (inner[0], inner[1] | {builder[1]})
    if member := _MEMBER.fullmatch(text):
        inner = _set(member[2])
        return inner and (inner[0], inner[1] | {member[1]})
    for name, combine in (("or", Union), ("and", Intersection)):
        parts = _apart(text, name)
        if len(parts) > 1:
            return _combined(parts, combine)
    parts = split(text, "list")
    if len(parts) > 1 and all(_RELATION.search(part) for part in parts):
        meet = _combined(parts, Intersection)
        return _combined(parts, Union) if meet and meet[0] == S.EmptySet else meet
    left, mark, right = text.partition(r"\setminus")
    if mark:
        sides = _set(left.strip()), _set(right.strip())
        return (Complement(sides[0][0], sides[1][0]), set()) if sides[0] and sides[1] else None
    if _RELATION.search(text):
        return _inequality(text)
    named = {r"\mathbb{R}": S.Reals, r"\emptyset": S.EmptySet, r"\{\}": S.EmptySet, r"\mathbb{Z}": S.Integers}
    if text in named:
        return named[text], set()
    group = enclosed(text)
    inside = split(group[1], "list") if group else []
    if group and group[0] == r"\{":
        return FiniteSet(*map(_value, inside)), set()
    return (_interval(group, inside), set()) if group and len(inside) == 2 else None


def _apart(text: str, name: str) -> list[str]:
    """Parts between `or` and its sign, or `and` and its, where no bracket encloses it."""
    parts, start = [], 0
    for mark in _WORD_SPLIT[name].finditer(text):
        if _balanced(text[start : mark.start()]):
            parts.append(text[start : mark.start()].strip(" ,"))
            start = mark.end()
    return [*parts, text[start:].strip(" ,")]


def _balanced(text: str) -> bool:
    return sum(map(text.count, "([{")) == sum(map(text.count, ")]}"))


def _combined(parts: list[str], combine: Any) -> tuple[Any, set[str]] | None:
    sets = [_set(part) for part in parts]
    if any(found is None for found in sets):
        return None
    return combine(*(found[0] for found in sets if found)), set().union(*(f[1] for f in sets if f))


def _interval(group: tuple[str, str, str], ends: list[str]) -> Any:
    from sympy import Interval

    low, high = map(_value, ends)
    return Interval(low, high, group[0] == "(", group[2] == ")")


def _value(text: str) -> Any:
    parsed: Any = parsed_expression(text)
    if parsed is None or getattr(parsed, "free_symbols", None):
        raise ValueError(f"{text} is no number")
    return parsed.doit()


def _inequality(text: str) -> tuple[Any, set[str]] | None:
    """A chain such as 2 < x <= 9, solved for its one variable."""
    from sympy import Eq, Ge, Gt, Intersection, Le, Lt, Ne, S, Symbol

    sides = [part.strip() for part in _RELATION.split(text)]
    values: list[Any] = [parsed_expression(side) for side in sides[::2]]
    if None in values:
        return None
    symbols = set().union(*(value.free_symbols for value in values))
    if len(symbols) != 1:
        return None
    symbol = symbols.pop()
    real = Symbol(str(symbol), real=True)
    kinds = {"<": Lt, ">": Gt, r"\le": Le, r"\ge": Ge, r"\ne": Ne, "=": Eq}
    found = S.Reals
    for left, kind, right in zip(values, sides[1::2], values[1:], strict=False):
        relation = kinds[kind](left.doit().xreplace({symbol: real}), right.doit().xreplace({symbol: real}))
        solved = relation.as_set() if hasattr(relation, "as_set") else None
        found = Intersection(found, S.Reals if relation == True else solved)  # noqa: E712
    return found, {str(symbol)}
