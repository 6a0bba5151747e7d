r"""Whether two mathematical answers are the same.

Numbers and words are compared at a glance (`literals.py`), lists, tuples, intervals, sets, unions and
matrices here, part by part, and what is left, expressions, equations and inequalities, by math-verify
(`algebra.py`). Percent signs, degrees and units are dropped on both sides, so 50% is 50 and never 0.5.
`equivalent` has no time limit of its own: it belongs in a process that can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reasonmaxxer.verify.algebra import same_expression
from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import clean, enclosed, split, without_text
from reasonmaxxer.verify.literals import LONGEST_ANSWER, plainly_same

_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)")
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq)(?![A-Za-z])")
_NAME = re.compile(
    r"(?:\\?[A-Za-z]+'*|\\(?:text|mathrm)\s*\{[^{}]*\})(?:\s*_\s*(?:\w|\{[^{}]*\}))?(?:\s*\([^()]*\))?"
    r"|\([A-Za-z, ]+\)"
)
_MEMBER = re.compile(r"[A-Za-z](?:_\w)?\s*\\in\s*")
_MATRIX = re.compile(
    r"\\begin\s*\{(?:[pb]?matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\s*\{[a-z]+\}"
)
_ORDER = re.compile(r"[<>]|\\(?:l|g)(?:e|t|eq|eqslant)(?![A-Za-z])|\\in(?![A-Za-z])|\\begin")
_SIGN = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")


def equivalent(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Whether an extracted answer equals the gold one; none if it does not parse.

    Raises:
        ValueError: the gold answer does not parse, or math-verify cannot compare the two.
    """
    if len(extracted) > LONGEST_ANSWER:
        return None
    return _same(clean(gold), clean(extracted), conventions)


def plainly_equivalent(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Equality where it is plain, such as of two literals; none: it takes `equivalent`."""
    return plainly_same(clean(gold), clean(extracted), conventions)


def _same(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    verdict = plainly_same(gold, extracted, conventions)
    if verdict is not None:
        return verdict
    sides = _parts(gold), _parts(extracted)
    if max(map(len, sides)) > 1:
        return _same_parts(gold, *sides, conventions)
    gold, extracted = without_text(gold), without_text(extracted)
    peeled = _peeled(*(without_text(side[0]) for side in sides))
    if peeled != (gold, extracted):
        return _same(*peeled, conventions)
    return _same_structure(gold, extracted, conventions)


def _parts(text: str) -> list[str]:
    r"""Several answers in one: members of a list or a set, and both signs of `\pm`."""
    group = enclosed(text)
    if group and group[0] in ("{", r"\{"):
        text = group[1]
    parts = [signed for part in split(text, "list") for signed in _signed(part)]
    return parts or [text]


def _signed(part: str) -> list[str]:
    if not _SIGN.search(part):
        return [part]
    signs = ({r"\pm": "+", r"\mp": "-"}, {r"\pm": "-", r"\mp": "+"})
    return [_SIGN.sub(lambda found, sign=sign: sign[found[0]], part).lstrip("+ ") for sign in signs]  # type: ignore[misc]


def _same_parts(
    whole: str, gold: Sequence[str], extracted: Sequence[str], conventions: Conventions
) -> bool | None:
    """Whether two lists have the same members, in any order; an open tuple without its brackets too."""
    group = enclosed(whole)
    if len(gold) == 1 and group and group[0] == "(" and group[2] == ")":
        return _all(split(group[1], "list"), extracted, conventions)
    return _unordered(gold, extracted, conventions)


def _all(gold: Sequence[str], extracted: Sequence[str], conventions: Conventions) -> bool | None:
    """Whether each part equals its counterpart."""
    if len(gold) != len(extracted):
        return False
    return _and(_same(g, e, conventions) for g, e in zip(gold, extracted, strict=True))


def _and(verdicts: Iterable[bool | None]) -> bool | None:
    unknown = False
    for verdict in verdicts:
        if verdict is False:
            return False
        unknown |= verdict is None
    return None if unknown else True


def _unordered(
    gold: Sequence[str], extracted: Sequence[str], conventions: Conventions
) -> bool | None:
    """Whether every part has a counterpart of its own."""
    if len(gold) != len(extracted):
        return False
    left = list(extracted)
    for index, part in enumerate(gold):
        nearest = sorted(left, key=lambda other: (other != part, other != extracted[index]))
        verdicts = []
        for other in nearest:
            verdicts.append(_same(part, other, conventions))
            if verdicts[-1]:
                left.remove(other)
                break
        else:
            return None if None in verdicts else False
    return True


def _peeled(gold: str, extracted: str) -> tuple[str, str]:
    r"""Both without the name of what they give, as in `x = 5` or `x \in S`, and without estimates."""
    gold, extracted = _MEMBER.sub("", gold, count=1), _MEMBER.sub("", extracted, count=1)
    estimates = [part.strip() for part in _APPROXIMATELY.split(extracted) if part.strip()]
    if len(estimates) > 1:
        extracted = estimates[bool(_NAME.fullmatch(estimates[0]))]
    sides = [[side.strip() for side in _EQUALS.split(text)] for text in (gold, extracted)]
    names = [side[0] if len(side) > 1 and _NAME.fullmatch(side[0]) else None for side in sides]
    if len(sides[0]) == 1 and len(sides[1]) > 1:
        return gold, sides[1][-1]
    if names[0] and (
        len(sides[1]) == 1 or names[0].replace(" ", "") == (names[1] or "").replace(" ", "")
    ):
        return sides[0][-1], sides[1][-1]
    return gold, extracted


def _same_structure(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """Whether unions, tuples, intervals or matrices are the same; all else goes to math-verify."""
    unions = split(gold, "union"), split(extracted, "union")
    if max(map(len, unions)) > 1 and not _ORDER.search(gold + extracted):
        return _unordered(*unions, conventions)
    matrices = _MATRIX.fullmatch(gold), _MATRIX.fullmatch(extracted)
    if matrices[0] and matrices[1]:
        return _same_matrix(matrices[0][1], matrices[1][1], conventions)
    groups = [enclosed(text) for text in (gold, extracted)]
    parts = [split(group[1], "list") if group else [] for group in groups]
    if groups[0] and groups[1] and min(map(len, parts)) > 1:
        alike = groups[0][::2] == groups[1][::2]
        return alike and _all(parts[0], parts[1], conventions)
    if max(map(len, parts)) > 1 and not _ORDER.search(gold + extracted):
        return False  # 12 is not (1,2)
    return same_expression(gold, extracted, conventions)


def _same_matrix(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    rows = [[split(row, "cell") for row in split(text, "row")] for text in (gold, extracted)]
    if len(rows[0]) != len(rows[1]):
        return False
    return _and(_all(g, e, conventions) for g, e in zip(*rows, strict=True))
