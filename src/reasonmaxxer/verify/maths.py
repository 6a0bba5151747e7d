r"""Whether two mathematical answers are the same. An answer is looked at in this order, and the first that knows says:

1. `latex.py` brings both to one notation.
2. `literals.py` compares numbers, words and choice letters at a glance.
3. `sets.py` compares sets of real numbers, however written.
4. Here: lists, ratios and times part by part; then names and units come off (`x = 5 \text{ cm}`), and what is left
   starts again; then matrices, tuples and intervals, part by part.
5. `algebra.py` compares expressions and equations, by values and by math-verify.

Nothing here has a time limit: it belongs in a process that can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.verify.algebra import is_constant, same_expression
from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import clean, enclosed, split
from reasonmaxxer.verify.literals import plainly_same
from reasonmaxxer.verify.quantities import without_unit
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
_HALF_DAY = re.compile(r"(?<![A-Za-z])[ap]m$", re.IGNORECASE)
_SIGN = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")


def compare(gold: str, extracted: str, conventions: Conventions = EXACT) -> tuple[bool | None, str | None]:
    """Whether an extracted answer equals the gold one, none if it does not parse; and why that is not what
    math-verify says, where it is not.

    Raises:
        ValueError: the gold answer does not parse, or math-verify cannot compare the two.
    """
    if len(extracted) > LONGEST_ANSWER:
        return None, None
    comparison = _Comparison(conventions)
    return comparison.same(clean(gold), clean(extracted)), comparison.note


class _Comparison:
    """Compares cleaned answers and their parts; keeps the reason why a verdict is not math-verify's."""

    def __init__(self, conventions: Conventions) -> None:
        self._conventions = conventions
        self.note: str | None = None

    def same(self, gold: str, extracted: str) -> bool | None:
        verdict = plainly_same(gold, extracted, self._conventions)
        if verdict is None and not _MATRIX.search(gold) and (is_setlike(gold) or is_setlike(extracted)):
            verdict = same_set(gold, extracted)
        if verdict is not None:
            return verdict
        sides = _parts(gold), _parts(extracted)
        if max(map(len, sides)) > 1:
            return self._same_list(gold, *sides)
        times = _colons(gold), _colons(extracted)
        if max(map(len, times)) > 1:
            halves = {half[0].lower() for text in (gold, extracted) if (half := _HALF_DAY.search(text))}
            return len(halves) < 2 and self._same_each(*times)
        peeled = self._peeled(without_unit(sides[0][0]), without_unit(sides[1][0]))
        if peeled is None:
            return False
        if peeled != (gold, extracted):
            return self.same(*peeled)
        return self._same_structure(gold, extracted)

    def _same_list(self, whole: str, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether two lists have the same members; an open tuple without its brackets too."""
        group = enclosed(whole)
        if len(gold) == 1 and group and group[0] == "(" and group[2] == ")":
            return self._same_each(split(group[1], "list"), extracted)
        if self._conventions.order == "given":
            return self._same_each(gold, extracted)
        return self._same_in_any_order(gold, extracted)

    def _same_each(self, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether each part equals its counterpart."""
        if len(gold) != len(extracted):
            return False
        return _all(self.same(g, e) for g, e in zip(gold, extracted, strict=True))

    def _same_in_any_order(self, gold: Sequence[str], extracted: Sequence[str]) -> bool | None:
        """Whether every part has a counterpart of its own."""
        if len(gold) != len(extracted):
            return False
        left = list(extracted)
        for index, part in enumerate(gold):
            unknown = False
            for other in sorted(left, key=lambda other: (other != part, other != extracted[index])):
                verdict = self.same(part, other)
                if verdict:
                    left.remove(other)
                    break
                unknown |= verdict is None
            else:
                return None if unknown else False
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
        return all(map(is_constant, sides[:-1])) and all(self.same(sides[-1], side) for side in sides[:-1])

    def _same_structure(self, gold: str, extracted: str) -> bool | None:
        """Whether tuples, intervals or matrices are the same; all else goes to math-verify."""
        matrices = _rows(gold), _rows(extracted)
        if matrices[0] is not None and matrices[1] is not None:
            if len(matrices[0]) != len(matrices[1]):
                return False
            return _all(self._same_each(g, e) for g, e in zip(matrices[0], matrices[1], strict=True))
        groups = enclosed(gold), enclosed(extracted)
        parts = [split(group[1], "list") if group else [] for group in groups]
        if groups[0] and groups[1] and min(map(len, parts)) > 1:
            return groups[0][::2] == groups[1][::2] and self._same_each(*parts)
        if max(map(len, parts)) > 1 and not (_MATRIX.search(gold) or _MATRIX.search(extracted)):
            return False  # 12 is not (1,2)
        verdict, self.note = same_expression(gold, extracted, self._conventions)
        return verdict


def _rows(text: str) -> list[list[str]] | None:
    """Cells of a matrix by row; none if the text is not one matrix."""
    matrix = _MATRIX.fullmatch(_BARE_ARRAY.sub(r"\1", text)) if text.count(r"\begin") == 1 else None
    return [split(row, "cell") for row in split(matrix[1], "row")] if matrix else None


def _colons(text: str) -> list[str]:
    """Parts of a ratio or a time of day."""
    return split(text, "colon") if _COLON.fullmatch(text) else [text]


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    """False if one is, else none if one is, else true; later verdicts are not asked for once one is false."""
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
