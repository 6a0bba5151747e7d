"""Whether two expressions, equations or inequalities are the same: math-verify, and guards around it.

Structure is settled before (`maths.py`). Values at sample points come first, since they refute a wrong
answer hundreds of times faster than math-verify's symbolic comparison, and faults of it that they
catch: two equations without a solution it calls equal, and small decimals too. No time limit: this belongs
in a process that can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

from reasonmaxxer.verify.conventions import Conventions

_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d.])(\d+\.?\d*|\.\d+)[eE]\+?(-?\d+)(?![\d.])", re.ASCII)
_E = re.compile(r"(?<![A-Za-z\\])E(?=\s*_)")  # math-verify takes it for Euler's number and gives up
_SUBSCRIPT = re.compile(r"_\{\s*\\([A-Za-z]+)\s*\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_POINTS = range(2)
_BITS = 200
_LARGE, _LARGEST = 10**30, 10**2000  # what is larger still is compared by its first 50 digits
_EXACT, _ROUGHLY = 1e-40, 1e-13  # relative distance of values of 50 digits, and of decimals


def same_expression(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """Whether two cleaned expressions are the same; none if the extracted one does not parse.

    Letter case counts where a side uses a letter in both.

    Raises:
        ValueError: the gold one does not parse, or math-verify cannot compare the two.
    """
    lowercase = not (_mixes_case(gold) or _mixes_case(extracted))
    gold_parsed, parsed = (parsed_expression(text, lowercase) for text in (gold, extracted))
    if gold_parsed is None:
        raise ValueError(f"the gold answer '{gold}' does not parse")
    return None if parsed is None else _same(gold_parsed, parsed, conventions)


def _mixes_case(text: str) -> bool:
    letters = set(_COMMAND.sub("", text))
    return any(letter != letter.lower() and letter.lower() in letters for letter in letters)


@lru_cache(4096)
def parsed_expression(text: str, lowercase: bool = True) -> Any | None:
    """The SymPy object of a cleaned expression by math-verify's parser, none if it does not parse."""
    from latex2sympy2_extended.latex2sympy2 import (
        ConversionConfig,
        NormalizationConfig,
        latex2sympy,
    )
    from math_verify.grader import should_treat_as_complex

    text = _SUBSCRIPT.sub(r"_{\1}", _E.sub("Q", _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", text)))
    # Units are ours: math-verify's drop any trailing t, m, c, h, ..., also where it is a variable.
    how = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    )
    try:
        parsed = latex2sympy(
            text,
            is_real=not should_treat_as_complex(text),
            normalization_config=how,
            conversion_config=ConversionConfig(lowercase_symbols=lowercase),
        )
    except MemoryError:
        raise
    except Exception:  # the parser says in many ways, plain `Exception` among them, that it cannot
        return None
    return _without_derivatives(parsed)


def _without_derivatives(parsed: Any) -> Any:
    """With a symbol for each derivative: SymPy evaluates that of a variable by another to zero."""
    from sympy import Basic, Derivative, Symbol

    if not isinstance(parsed, Basic):
        return parsed
    return parsed.xreplace({d: Symbol(str(d)) for d in parsed.atoms(Derivative)})


def _same(gold: Any, extracted: Any, conventions: Conventions) -> bool:
    from math_verify import verify

    verdict = _same_by_value(gold, extracted, conventions)
    if verdict is not None:
        return verdict
    # Not symmetric: the gold answer comes first.
    same = bool(verify(gold, extracted, timeout_seconds=None, raise_on_error=True))
    equations = _is_equation(gold) and _is_equation(extracted)
    return same and not (equations and gold != extracted and not _has_solution(gold))


def _same_by_value(gold: Any, extracted: Any, conventions: Conventions) -> bool | None:
    """Whether values at sample points settle it, and how."""
    from mpmath import mp

    equations = _is_equation(gold), _is_equation(extracted)
    values = _values(gold), _values(extracted)
    if not (values[0] and values[1]) or equations[0] != equations[1]:
        return None
    exact = not _has_decimals(gold) and not _has_decimals(extracted)
    constants = len(values[0]) == len(values[1]) == 1 and not equations[0]
    if exact and constants and _LARGE < abs(values[0][0]) < _LARGEST:
        return _same_large(gold, extracted, values[0][0])
    with mp.workprec(_BITS):
        if equations[0]:
            return _proportional(values[0], values[1], exact) or None
        verdict = _near(values[0], values[1], exact, conventions)
    smooth = _is_smooth(gold) and _is_smooth(extracted)
    return None if verdict and not smooth else verdict


def _same_large(gold: Any, extracted: Any, size: Any) -> bool:
    """Whether large exact numbers are the same to the last digit, as 2^2008 - 2 and 2^2008 - 3 are not."""
    from mpmath import log10

    digits = int(log10(abs(size))) + 20
    return bool(abs(gold.evalf(digits) - extracted.evalf(digits)) < 1e-10)


def _has_decimals(parsed: Any) -> bool:
    from sympy import Float

    return bool(parsed.has(Float))


def _is_equation(parsed: Any) -> bool:
    from sympy import Eq

    return isinstance(parsed, Eq)


def _has_solution(equation: Any) -> bool:
    from sympy import solve

    return bool(solve(equation, equation.free_symbols))


def _is_smooth(parsed: Any) -> bool:
    """Whether equal values at two points leave no doubt."""
    from sympy import Abs, Piecewise, ceiling, floor, sign

    return not parsed.has(Abs, Piecewise, ceiling, floor, sign)


def _values(parsed: Any) -> list[Any] | None:
    """Of an expression, or of the difference of an equation's sides, at each sample point.

    None where there is no finite value. Functions without a definition count as variables. Complex
    numbers of 50 digits and any exponent: 1/2004! is not 0, and 2^100 - 2 not 2^100 - 3.
    """
    from sympy import Expr
    from sympy.core.function import AppliedUndef

    if _is_equation(parsed) and all(isinstance(side, Expr) for side in parsed.args):
        parsed = parsed.lhs - parsed.rhs
    if not isinstance(parsed, Expr) or _is_word(parsed):
        return None
    unknowns = parsed.atoms(AppliedUndef) | parsed.free_symbols
    values = [_value(parsed, unknowns, point) for point in (_POINTS if unknowns else range(1))]
    return None if None in values else values


def _value(expression: Any, unknowns: set[Any], point: int) -> Any | None:
    from mpmath import isfinite, mp, mpc
    from sympy import Float

    at = {u: Float(0.6 + Random(f"{u} {point}").random(), 60) for u in unknowns}
    value = expression.xreplace(at).evalf(50)
    if not (value.is_Number or (value.is_number and value.is_complex)):
        return None
    with mp.workprec(_BITS):
        number = mpc(*(part._to_mpmath(_BITS) for part in value.as_real_imag()))
    return number if isfinite(number) else None


def _is_word(side: Any) -> bool:
    """Letters alone, which math-verify also compares as a word."""
    from sympy import E, Mul, Symbol

    return isinstance(side, Symbol) or (
        isinstance(side, Mul) and all(a == E or isinstance(a, Symbol) for a in side.args)
    )


def _near(
    gold: Sequence[Any], extracted: Sequence[Any], exact: bool, conventions: Conventions
) -> bool | None:
    """Whether values are the same within the tolerance; none where a decimal may have been rounded."""
    if len(gold) == len(extracted) == 1:  # numbers, not expressions in variables
        relative = conventions.relative_tolerance * abs(gold[0])
        if abs(gold[0] - extracted[0]) <= max(conventions.absolute_tolerance, relative):
            return True
    within = _EXACT if exact else _ROUGHLY
    points = max(len(gold), len(extracted))
    gaps = [_gap(gold[i % len(gold)], extracted[i % len(extracted)]) for i in range(points)]
    if all(gap <= within for gap in gaps):
        return True
    return False if exact or any(gap > 1e-5 for gap in gaps) else None


def _gap(gold: Any, extracted: Any) -> Any:
    """Relative distance. Zero may have been computed with an error."""
    size, gap = max(abs(gold), abs(extracted)), abs(gold - extracted)
    if gap == 0 or (gap < 1e-40 and 0 in (gold, extracted)):
        return 0
    return gap / size


def _proportional(gold: Sequence[Any], extracted: Sequence[Any], exact: bool) -> bool:
    """Whether two equations are the same up to a factor."""
    if len(gold) < 2 or len(gold) != len(extracted) or 0 in (*gold, *extracted):
        return False
    factors = [g / e for g, e in zip(gold, extracted, strict=True)]
    return all(
        abs(factor / factors[0] - 1) <= (_EXACT if exact else _ROUGHLY) for factor in factors
    )
