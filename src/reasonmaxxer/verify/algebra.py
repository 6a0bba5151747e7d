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

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from mpmath import isfinite, log10, mp, mpc
from sympy.core.function import AppliedUndef

from reasonmaxxer.verify.conventions import Conventions

_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d.])(\d+\.?\d*|\.\d+)[eE]\+?(-?\d+)(?![\d.])", re.ASCII)
_E = re.compile(r"(?<![A-Za-z\\])E(?=\s*_)")  # math-verify takes it for Euler's number and gives up
_SUBSCRIPT = re.compile(r"_\{\s*\\([A-Za-z]+)\s*\}")
_BESIDE = re.compile(r"(?<!_)\d\s+\d(?!\d*\s*/)")
_COMMAND = re.compile(r"\\[A-Za-z]+")
# Functions of which equal values at two points leave doubt: |x| is x where x is positive.
_KINKED = (sympy.Abs, sympy.Max, sympy.Min, sympy.Mod, sympy.Piecewise, sympy.ceiling, sympy.floor, sympy.sign)
_RANGES = ((0.6, 1.6), (0.6, 1.6), (-3.6, -1.6), (20, 90))  # |x| is not x, and max(7, x) not 7
_BITS = 200
_DIGITS = 10**5
_EXACT, _ROUGHLY = 1e-40, 1e-13  # relative distance of values of 50 digits, and of decimals
_DIFFERENT = 1e-5  # relative distance that no rounding explains


def same_expression(gold: str, extracted: str, conventions: Conventions) -> tuple[bool | None, str | None]:
    """Whether two cleaned expressions are the same, none if the extracted one does not parse; and why not
    as math-verify says.

    Letter case counts where a side uses a letter in both.

    Raises:
        ValueError: the gold one does not parse, or math-verify cannot compare the two.
    """
    lowercase = not (_mixes_case(gold) or _mixes_case(extracted))
    gold_parsed, parsed = (parsed_expression(text, lowercase) for text in (gold, extracted))
    if gold_parsed is None:
        raise ValueError(f"the gold answer '{gold}' does not parse")
    return (None, None) if parsed is None else _same(gold_parsed, parsed, conventions)


def is_constant(text: str) -> bool:
    """Whether a cleaned expression parses and has no variable."""
    parsed = parsed_expression(text)
    return parsed is not None and not getattr(parsed, "free_symbols", True)


def _mixes_case(text: str) -> bool:
    letters = set(_COMMAND.sub("", text))
    return any(letter != letter.lower() and letter.lower() in letters for letter in letters)


@lru_cache(4096)
def parsed_expression(text: str, lowercase: bool = True) -> Any | None:
    """The SymPy object of a cleaned expression by math-verify's parser, none if it does not parse.

    `i` is the imaginary unit, and matrix products are carried out. A derivative is a symbol, since SymPy evaluates
    that of a variable by another to zero.
    """
    if _BESIDE.search(text):
        return None  # of "5 6" math-verify makes 11
    text = _SUBSCRIPT.sub(r"_{\1}", _E.sub("Q", _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", text)))
    # Units are ours: math-verify's drop any trailing t, m, c, h, ..., also where it is a variable.
    how = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
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
    if isinstance(parsed, sympy.MatrixExpr):
        return parsed.doit().as_explicit()
    if not isinstance(parsed, sympy.Basic):
        return parsed
    imaginary = {s: sympy.I for s in parsed.atoms(sympy.Symbol) if str(s) == "i"}
    derivatives = {d: sympy.Symbol(str(d)) for d in parsed.atoms(sympy.Derivative)}
    return parsed.xreplace(derivatives).xreplace(imaginary)


def _same(gold: Any, extracted: Any, conventions: Conventions) -> tuple[bool, str | None]:
    if isinstance(gold, sympy.MatrixBase) and isinstance(extracted, sympy.MatrixBase):
        same = gold.shape == extracted.shape and all(
            _same(g, e, conventions)[0] for g, e in zip(gold, extracted, strict=True)
        )
        return same, None
    verdict = _same_by_value(gold, extracted, conventions)
    if verdict is not None:
        return verdict, None
    # Not symmetric: the gold answer comes first.
    same = bool(verify(gold, extracted, timeout_seconds=None, raise_on_error=True))
    equations = isinstance(gold, sympy.Eq) and isinstance(extracted, sympy.Eq)
    if same and equations and gold != extracted and not sympy.solve(gold, gold.free_symbols):
        return False, "math-verify calls them the same: neither has a solution"
    return same, None


def _same_by_value(gold: Any, extracted: Any, conventions: Conventions) -> bool | None:
    """Whether values at sample points settle it, and how."""
    equation = isinstance(gold, sympy.Eq)
    smooth = not gold.has(*_KINKED) and not extracted.has(*_KINKED)
    if not equation and not isinstance(extracted, sympy.Eq) and _differ(gold, extracted, smooth):
        return False  # as most wrong answers do
    values = _common_values(gold, extracted, smooth)
    if not values or equation != isinstance(extracted, sympy.Eq):
        return None
    exact = not gold.has(sympy.Float) and not extracted.has(sympy.Float)
    if exact and len(values) == 1 and not equation and _gap(*values[0], computed=True) <= _EXACT:
        return _same_constants(gold, extracted, values[0][0])
    with mp.workprec(_BITS):
        if equation:
            return _proportional(values, exact) or None
        verdict = _near(values, exact, conventions)
    return None if verdict and not smooth else verdict


def _differ(gold: Any, extracted: Any, smooth: bool) -> bool:
    """Whether two expressions, at least one with a variable, differ at their first sample point."""
    if not (getattr(gold, "free_symbols", None) or getattr(extracted, "free_symbols", None)):
        return False
    values = _common_values(gold, extracted, smooth, 1)
    return bool(values) and bool(_gap(*values[0], computed=True) > _DIFFERENT)


def _same_constants(gold: Any, extracted: Any, size: Any) -> bool:
    """Whether exact numbers with the same first digits are the same: 2^2008 - 2 is not 2^2008 - 3, nor 1 +
    10^-50 one.

    Beyond what has a hundred thousand digits, only what is written alike is.
    """
    digits = int(log10(abs(size))) if size else 0
    if digits > _DIGITS:
        return bool(gold == extracted)
    difference = (gold - extracted).evalf(15, maxn=max(digits, 0) + 400)
    return difference == 0 or _cancelled(difference)


def _cancelled(value: Any) -> bool:
    """Whether a sum cancelled as far as it was computed, which SymPy says by one bit of precision."""
    return all(getattr(part, "_prec", 2) == 1 or part == 0 for part in value.as_real_imag())


def _common_values(gold: Any, extracted: Any, smooth: bool, points: int = len(_RANGES)) -> list[tuple[Any, Any]]:
    """Values of both at the sample points where both have one; of a constant the same everywhere."""
    values = _values(gold, smooth, points), _values(extracted, smooth, points)
    if not values[0] or not values[1]:
        return []
    here = max(map(len, values))
    pairs = [(values[0][n % len(values[0])], values[1][n % len(values[1])]) for n in range(here)]
    return [pair for pair in pairs if None not in pair]


def _values(parsed: Any, smooth: bool, points: int) -> list[Any]:
    """Values of an expression, or of the difference of an equation's sides, at the sample points.

    None at a point where it has none.
    Functions without a definition count as variables. Complex numbers of 50 digits and any exponent:
    1/2004! is not 0, and 2^100 - 2 not 2^100 - 3. An empty list for what has no values.
    """
    if isinstance(parsed, sympy.Eq) and all(isinstance(side, sympy.Expr) for side in parsed.args):
        parsed = parsed.lhs - parsed.rhs
    if not isinstance(parsed, sympy.Expr) or _is_word(parsed):
        return []
    unknowns = parsed.atoms(AppliedUndef) | parsed.free_symbols
    if not unknowns:
        return [_value(parsed, {})]
    positive = smooth and _has_roots(parsed)
    return [
        None if positive and _RANGES[n][0] < 0 else _value(parsed, {u: _sample(u, n) for u in unknowns})
        for n in range(points)
    ]


def _sample(unknown: Any, point: int) -> Any:
    low, high = _RANGES[point]
    return sympy.Float(low + (high - low) * Random(f"{unknown} {point}").random(), 60)


def _has_roots(parsed: Any) -> bool:
    """Whether a root or logarithm of a variable is in it: what these are of is meant to be positive."""
    roots = [p.base for p in parsed.atoms(sympy.Pow) if not p.exp.is_integer]
    logarithms = [logarithm.args[0] for logarithm in parsed.atoms(sympy.log)]
    return any(of.free_symbols for of in [*roots, *logarithms])


def _value(expression: Any, at: dict[Any, Any]) -> Any | None:
    value = expression.xreplace(at).evalf(50)
    if not (value.is_Number or (value.is_number and value.is_complex)):
        return None
    with mp.workprec(_BITS):
        number = mpc(*(0 if _cancelled(part) else part._to_mpmath(_BITS) for part in value.as_real_imag()))
    return number if isfinite(number) else None


def _is_word(side: Any) -> bool:
    """Letters alone, which math-verify also compares as a word."""
    factors = side.args if isinstance(side, sympy.Mul) else [side]
    return side != sympy.E and all(factor == sympy.E or isinstance(factor, sympy.Symbol) for factor in factors)


def _near(values: Sequence[tuple[Any, Any]], exact: bool, conventions: Conventions) -> bool | None:
    """Whether values are the same within the tolerance; none where a decimal may have been rounded."""
    if len(values) == 1:  # numbers, not expressions in variables
        gold, extracted = values[0]
        allowed = max(conventions.absolute_tolerance, conventions.relative_tolerance * abs(gold))
        if abs(gold - extracted) <= allowed:
            return True
    largest = max(_gap(gold, extracted, computed=len(values) > 1) for gold, extracted in values)
    if largest <= (_EXACT if exact else _ROUGHLY):
        return True
    return False if exact or largest > _DIFFERENT else None


def _gap(gold: Any, extracted: Any, computed: bool) -> Any:
    """Relative distance. At a sample point zero is computed with an error."""
    size, gap = max(abs(gold), abs(extracted)), abs(gold - extracted)
    if gap == 0 or (computed and gap < 1e-40 and 0 in (gold, extracted)):
        return 0
    return gap / size


def _proportional(values: Sequence[tuple[Any, Any]], exact: bool) -> bool:
    """Whether two equations are the same up to a factor."""
    if len(values) < 2 or any(0 in pair for pair in values):
        return False
    factors = [gold / extracted for gold, extracted in values]
    return all(abs(factor / factors[0] - 1) <= (_EXACT if exact else _ROUGHLY) for factor in factors)
