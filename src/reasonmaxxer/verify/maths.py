r"""Whether two mathematical answers are the same.

Numbers and words are compared at a glance (`literals.py`), sets of real numbers as sets (`sets.py`), lists,
tuples and matrices here, part by part, and what is left, expressions and equations, by math-verify with
guards around it (`algebra.py`). `equivalent` has no time limit of its own: it belongs in a process that can
be killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.verify.algebra import is_constant, same_expression
from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import clean, enclosed, split
from reasonmaxxer.verify.literals import plainly_same, without_unit
from reasonmaxxer.verify.sets import is_setlike, same_set

_APPROXIMATELY = re.compile(r"\\(?:approx|simeq)(?![A-Za-z])")
_NAME = re.compile(  # x, m_{\max}, Total cost; f(2), P(A), but not x(x-1); (x, y); \angle ABC, |AB|, dy/dx
    r"(?![a-z]{2}(?![A-Za-z]))(?:\\?[A-Za-z]+'*|[A-Za-z]+(?: [A-Za-z]+)+)(?:\s*_\s*(?:\w|\{[^{}]*\}))?"
    r"|(?![xyznkt]\()[A-Za-z]+'*(?:_\w|\^\{?-1\}?)?\s*\([^()=]*\)|\([A-Za-z, ]+\)"
    r"|m?\s*\\angle\s*[A-Z ]+|[|\[][A-Z ]+[|\]]|\\overline\s*\{[A-Z ]+\}|\\frac\{d\s*\w\}\{d\s*\w\}"
)
_MEMBER = re.compile(r"[A-Za-z](?:_\w)?\s*\\in\s*")
_MATRIX = re.compile(r"\\begin\s*\{(?:[pb]?matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\s*\{[a-z]+\}")
_BARE_ARRAY = re.compile(r"[(\[]\s*(\\begin\s*\{array\}.*\\end\s*\{array\})\s*[)\]]")
_COLON = re.compile(r"[^:]+(?::[^:]+)+")
_HALF = re.compile(r"(?<![A-Za-z])[ap]m$", re.IGNORECASE)
_SIGN = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")


def equivalent(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Whether an extracted answer equals the gold one; none if it does not parse.

    Raises:
        ValueError: the gold answer does not parse, or math-verify cannot compare the two.
    """
    return Comparison(conventions).of(gold, extracted)


def plainly_equivalent(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Equality where it is plain, such as of two literals; none: it takes `equivalent`."""
    return plainly_same(clean(gold), clean(extracted), conventions)


class Comparison:
    """Compares answers by the conventions of a problem.

    Attributes:
        note: why the last verdict is not math-verify's, where it is not.
    """

    def __init__(self, conventions: Conventions) -> None:
        self._conventions = conventions
        self.note: str | None = None

    def of(self, gold: str, extracted: str) -> bool | None:
        """What `equivalent` says."""
        if len(extracted) > LONGEST_ANSWER:
            return None
        return self._same(clean(gold), clean(extracted))

    def _same(self, gold: str, extracted: str) -> bool | None:
        verdict = plainly_same(gold, extracted, self._conventions)
        if verdict is None and not _MATRIX.search(gold) and (is_setlike(gold) or is_setlike(extracted)):
            verdict = same_set(gold, extracted)
        if verdict is not None:
            return verdict
        sides = _parts(gold), _parts(extracted)
        if max(map(len, sides)) > 1:
            return self._same_parts(gold, *sides)
        times = _colons(gold), _colons(extracted)
        if max(map(len, times)) > 1:
            halves = {half[0].lower() for text in (gold, extracted) if (half := _HALF.search(text))}
            return len(halves) < 2 and self._all(*times)
        peeled = self._peeled(without_unit(sides[0][0]), without_unit(sides[1][0]))
        if peeled is None:
            return False
        if peeled != (gold, extracted):
            return self._same(*peeled)
        return self._same_structure(gold, extracted)

    def _same_parts(self, whole: str, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether two lists have the same members; an open tuple without its brackets too."""
        group = enclosed(whole)
        if len(gold) == 1 and group and group[0] == "(" and group[2] == ")":
            return self._all(split(group[1], "list"), extracted)
        if self._conventions.order == "given":
            return self._all(gold, extracted)
        return self._unordered(gold, extracted)

    def _all(self, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether each part equals its counterpart."""
        if len(gold) != len(extracted):
            return False
        return _and(self._same(g, e) for g, e in zip(gold, extracted, strict=True))

    def _unordered(self, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether every part has a counterpart of its own."""
        if len(gold) != len(extracted):
            return False
        left = list(extracted)
        for index, part in enumerate(gold):
            nearest = sorted(left, key=lambda other: (other != part, other != extracted[index]))
            verdicts = []
            for other in nearest:
                verdicts.append(self._same(part, other))
                if verdicts[-1]:
                    left.remove(other)
                    break
            else:
                return None if None in verdicts else False
        return True

    def _peeled(self, gold: str, extracted: str) -> tuple[str, str] | None:
        r"""Both without the name of what they give, as in `x = 5` or `x \in S`, and without estimates.

        None where one is an equation that does not say what the other is, as `x + y = 12`.
        """
        gold, extracted = _MEMBER.sub("", gold, count=1), _MEMBER.sub("", extracted, count=1)
        estimates = [part.strip() for part in _APPROXIMATELY.split(extracted) if part.strip()]
        if len(estimates) > 1:
            extracted = estimates[bool(_NAME.fullmatch(estimates[0]))]
        sides = [split(text, "equals") or [text] for text in (gold, extracted)]
        if len(sides[1]) == 2 and _NAME.fullmatch(sides[1][1]) and not _NAME.fullmatch(sides[1][0]):
            sides[1].reverse()  # 5 = x
        names = [s[0].replace(" ", "") if len(s) > 1 and _NAME.fullmatch(s[0]) else None for s in sides]
        if len(sides[0]) == 1 and len(sides[1]) > 1:
            return (gold, sides[1][-1]) if names[1] or self._computes(sides[1]) else None
        if names[0] and (len(sides[1]) == 1 or names[0] == names[1]):
            return sides[0][-1], sides[1][-1]
        if len(sides[0]) > 1 and len(sides[1]) == 1 and re.search(r"[-+]", sides[0][0]):
            return None
        return gold, extracted

    def _computes(self, sides: Sequence[str]) -> bool:
        """Whether a chain of equations is of constants that are equal, as 3 + 4 = 7 is and 6 = 7 is not."""
        return all(map(is_constant, sides[:-1])) and all(self._same(sides[-1], side) for side in sides[:-1])

    def _same_structure(self, gold: str, extracted: str) -> bool | None:
        """Whether tuples, intervals or matrices are the same; all else goes to math-verify."""
        single = [_BARE_ARRAY.sub(r"\1", text) * (text.count(r"\begin") == 1) for text in (gold, extracted)]
        matrices = [_MATRIX.fullmatch(text) for text in single]
        if matrices[0] and matrices[1]:
            return self._same_matrix(matrices[0][1], matrices[1][1])
        groups = [enclosed(text) for text in (gold, extracted)]
        parts = [split(group[1], "list") if group else [] for group in groups]
        if groups[0] and groups[1] and min(map(len, parts)) > 1:
            alike = groups[0][::2] == groups[1][::2]
            return alike and self._all(parts[0], parts[1])
        if max(map(len, parts)) > 1 and not any(map(_MATRIX.search, (gold, extracted))):
            return False  # 12 is not (1,2)
        verdict, self.note = same_expression(gold, extracted, self._conventions)
        return verdict

    def _same_matrix(self, gold: str, extracted: str) -> bool | None:
        rows = [[split(row, "cell") for row in split(text, "row")] for text in (gold, extracted)]
        if len(rows[0]) != len(rows[1]):
            return False
        return _and(self._all(g, e) for g, e in zip(*rows, strict=True))


def _colons(text: str) -> list[str]:
    """Parts of a ratio or a time of day."""
    return split(text, "colon") if _COLON.fullmatch(text) else [text]


def _and(verdicts: Iterable[bool | None]) -> bool | None:
    unknown = False
    for verdict in verdicts:
        if verdict is False:
            return False
        unknown |= verdict is None
    return None if unknown else True


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
