"""Whether two mathematical answers are the same, through math-verify.

Stricter than math-verify in two places: a percent sign is dropped on both sides, so 50% is 50 and
never 0.5, and two small decimals must agree relatively, not only to six places. `equivalent` has no
time limit of its own: it belongs in a process that can be killed.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

LONGEST_ANSWER = 1000  # characters; what is longer is no answer, and is not parsed

_SPACING = {"−": "-", r"\!": "", "{,}": ",", r"\%": "", "%": "", r"\$": "", "$": ""}
_LITERAL = re.compile(
    r"([+-]?)(\d+|\d{1,3}(?:,\d{3})+)?(\.\d*)?(?:[eE]([+-]?\d{1,3}))?(?:/(\d+))?", re.ASCII
)
_SCIENTIFIC = re.compile(r"([+-]?[\d.]+)[eE]\+?(-?\d+)", re.ASCII)
_POINT = re.compile(r"(?<=\d)\.(?!\d)|\.\s*$")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox) ?\{([^{}]*)\}")


def number(text: str) -> Fraction | None:
    """The value of a plain literal (12, -1,234.5, 3/4, 6.0e23, $7, 50%); none for all else."""
    literal = _LITERAL.fullmatch(_bare(text)) if len(text) <= LONGEST_ANSWER else None
    if literal is None or not (literal[2] or (literal[3] or "").strip(".")):
        return None
    sign, whole, decimals, exponent, divisor = literal.groups(default="")
    if divisor and not int(divisor):
        return None
    value = Fraction(f"{sign}{whole.replace(',', '') or 0}{decimals}") * Fraction(10) ** int(
        exponent or 0
    )
    return value / int(divisor or 1)


def same_number(gold: Fraction, extracted: Fraction) -> bool:
    """Whether two literals are the same number; 1/3 is also 0.333333, six places or more."""
    if gold == extracted:
        return True
    return _terminates(gold) != _terminates(extracted) and (
        round(gold, 6) == round(extracted, 6) and abs(gold - extracted) <= abs(gold) / 10**5
    )


def _terminates(value: Fraction) -> bool:
    """Whether the decimal expansion ends, as it does if only 2 and 5 divide the denominator."""
    power: int = 10 ** value.denominator.bit_length()
    return power % value.denominator == 0


def clean(text: str) -> str:
    """The answer without dollar and percent signs and final points; plain spaces and commas."""
    for found, replacement in _SPACING.items():
        text = text.replace(found, replacement)
    return " ".join(_POINT.sub("", text).split())


def _bare(text: str) -> str:
    r"""The answer without `\text{}` around its words."""
    return _WORDS.sub(r"\1", clean(text)).strip()


def equivalent(gold: str, extracted: str) -> bool | None:
    """Whether an extracted answer equals the gold one; none if it does not parse.

    Raises:
        ValueError: the gold answer does not parse, or math-verify cannot compare the two.
    """
    if len(extracted) > LONGEST_ANSWER:
        return None
    plain = plainly_equivalent(gold, extracted)
    if plain is not None:
        return plain
    gold_parsed, parsed = _parse(gold), _parse(extracted)
    if gold_parsed is None:
        raise ValueError(f"the gold answer '{gold}' does not parse")
    return None if parsed is None else _verify(gold_parsed, parsed)


def plainly_equivalent(gold: str, extracted: str) -> bool | None:
    """Equality where it is plain: two literals, or the same words. None: ask math-verify."""
    gold_number, extracted_number = number(gold), number(extracted)
    if gold_number is not None and extracted_number is not None:
        return same_number(gold_number, extracted_number)
    return _same_words(gold, extracted) or None


def _same_words(gold: str, extracted: str) -> bool:
    r"""Whether both read the same, `\text{June 20}` and `june 20` alike."""
    words = _bare(gold), _bare(extracted)
    if words != (clean(gold), clean(extracted)):
        return words[0].lower() == words[1].lower() != ""
    return words[0] == words[1] != ""


def _parse(text: str) -> Any | None:
    """The answer as a SymPy object. Boxed, since math-verify reads a bare \\dfrac as nothing."""
    from math_verify import LatexExtractionConfig, parse

    scientific = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", clean(text))
    reader = LatexExtractionConfig(try_extract_without_anchor=False, boxed_match_priority=0)
    box = rf"\boxed{{{scientific}}}"
    parsed = parse(box, [reader], fallback_mode="no_fallback", parsing_timeout=None)
    return parsed[0] if parsed else None


def _verify(gold: Any, extracted: Any) -> bool:
    from math_verify import verify

    # Not symmetric: the gold answer comes first.
    same = verify(gold, extracted, timeout_seconds=None, raise_on_error=True)
    return bool(same) and not _far_apart(gold, extracted)


def _far_apart(gold: Any, extracted: Any) -> bool:
    """Whether two decimals differ relatively, though rounded to six places they are the same."""
    from sympy import Expr, Float  # type: ignore[import-untyped]

    both = (gold, extracted)
    if not all(isinstance(side, Expr) and side.is_number for side in both):
        return False
    if not any(side.has(Float) for side in both):
        return False
    return bool(abs((gold - extracted).evalf()) > abs(gold.evalf()) * 1e-5)
