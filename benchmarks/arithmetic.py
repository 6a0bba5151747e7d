"""Reads an answer as a value, for the second checker: a small parser written by hand.

Variables take fixed values that depend on their name, so that equal expressions have equal values.
Nothing is evaluated as code, and time and memory are bounded by the length of the text.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Union

Number = Union[Fraction, complex]  # noqa: UP007  (Python 3.10 cannot name it otherwise at run time)
Value = Union[Number, "Group"]

LONGEST = 400  # characters
_DEEPEST = 40
_DIGITS = 60
_BITS = 4096

_TOKEN = re.compile(r"\d+(?:\.\d*)?|\.\d+|\\[A-Za-z]+|\\.|\S", re.DOTALL)
_NO_VALUE = re.compile(r"\\(?:left|right|[bB]ig[lr]?|displaystyle|limits|q?quad)|\\[!,;: $%()]|[$%~]")
_FRACTIONS = {r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"}
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    **{name: getattr(cmath, name) for name in ("sin", "cos", "tan", "exp", "log", "sinh", "cosh")},
    **{f"arc{name}": getattr(cmath, f"a{name}") for name in ("sin", "cos", "tan")},
    "ln": cmath.log,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
}
_MATRICES = {"pmatrix", "bmatrix", "matrix", "smallmatrix"}
_TIMES = {"*", r"\cdot", r"\times", "·", "×"}
_OVER = {"/", r"\div", "÷"}
_OPEN, _CLOSE = {"(", "[", r"\{", r"\langle"}, {")", "]", r"\}", r"\rangle"}
_BEFORE_A_FACTOR = re.compile(r"[\d.(A-Za-z]|\\[A-Za-z]")
_NO_FACTOR = re.compile(
    r"\\(?:cup|in|[lg]eq?|neq?|to|pm|mp|text|begin|end|rangle|rfloor|rceil|mid|approx|equiv|p?mod|phantom)"
)


class UnreadableError(Exception):
    """The text is not an answer this parser knows."""


@dataclass(frozen=True)
class Group:
    """Values in brackets, or several without.

    Attributes:
        kind: the brackets, `,` for a list, `=` for an equation, `_` for a numeral with its base, or
            `matrix`.
        items: members; of an equation, its two sides.
    """

    kind: str
    items: tuple[Value, ...]


def read_value(text: str, point: int) -> Value:
    """The value of an answer.

    Args:
        text: LaTeX or plain.
        point: which values the variables take.

    Raises:
        UnreadableError: too long, too deep, or beyond this grammar.
        ArithmeticError, ValueError: a value that does not exist or is too large.
    """
    if len(text) > LONGEST:
        raise UnreadableError
    parser = _Parser([t for t in _TOKEN.findall(text) if not _NO_VALUE.fullmatch(t)], point)
    value = parser.several()
    if parser.peek() is not None:
        raise UnreadableError
    return value


class _Parser:
    def __init__(self, tokens: list[str], point: int) -> None:
        self._tokens, self._at, self._depth, self._point = tokens, 0, 0, point

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self.peek()
        if token is None:
            raise UnreadableError
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise UnreadableError

    def _skip(self, tokens: set[str]) -> str | None:
        token = self.peek()
        if token in tokens:
            self._at += 1
            return token
        return None

    def several(self) -> Value:
        """A list, or what stands alone."""
        items = [self._equation()]
        while self._skip({",", ";", r"\cup"}):
            items.append(self._equation())
        return items[0] if len(items) == 1 else Group(",", tuple(items))

    def _equation(self) -> Value:
        start = self._at
        left = self._sum()
        if not self._skip({"="}):
            return left
        first, second = self._tokens[start : start + 2]
        named = first[-1].isalpha() and second in ("=", "(", "_")
        right = self._equation()
        return right if named else Group("=", (left, right))

    def _sum(self) -> Value:
        sign = self._skip({"+", "-", "−"})
        total = self._product()
        total = -_number(total) if sign in ("-", "−") else total
        while operator := self._skip({"+", "-", "−"}):
            term = _number(self._product())
            total = _number(total) + (term if operator == "+" else -term)
        return total

    def _product(self) -> Value:
        value = self._power()
        while True:
            if self._skip(_TIMES):
                value = _number(value) * _number(self._signed())
            elif self._skip(_OVER):
                value = _number(value) / _number(self._signed())
            elif self._at_factor():
                value = self._beside(value)
            else:
                return value

    def _signed(self) -> Value:
        sign = self._skip({"-", "−", "+"})
        value = self._power()
        return -_number(value) if sign in ("-", "−") else value

    def _at_factor(self) -> bool:
        token = self.peek()
        if token is None or _NO_FACTOR.fullmatch(token):
            return False
        return bool(_BEFORE_A_FACTOR.match(token)) or token == "{"

    def _beside(self, left: Value) -> Value:
        """A factor without a sign between; a fraction beside a whole number makes it a mixed one."""
        before, token = self._tokens[self._at - 1], self.peek() or ""
        if before[-1].isdigit() and token[0].isdigit():
            raise UnreadableError
        mixed = before.isdigit() and token in _FRACTIONS
        right = _number(self._power())
        if mixed and isinstance(right, Fraction):
            return _number(left) + right
        return _number(left) * right

    def _power(self) -> Value:
        value = self._atom()
        while True:
            if self._skip({"^"}):
                value = _to_the(_number(value), _number(self._argument()))
            elif self._skip({"!"}):
                value = _factorial(_number(value))
            elif self._skip({"'"}):
                raise UnreadableError
            else:
                return value

    def _argument(self) -> Value:
        """What a command or `^` is given: a group, one digit or one symbol."""
        token = self.peek() or ""
        if token[:1].isdigit() and len(token) > 1:
            if not token.isdigit():
                raise UnreadableError
            self._tokens[self._at : self._at + 1] = [token[0], token[1:]]
        sign = self._skip({"-"})
        value = self._atom()
        return -_number(value) if sign else value

    def _atom(self) -> Value:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UnreadableError
        value = self._one(self._take())
        self._depth -= 1
        return value

    def _one(self, token: str) -> Value:
        if token[0].isdigit() or token[0] == ".":
            return self._numeral(token)
        if token == "{":
            value = self.several()
            self._expect("}")
            return value
        if token in _OPEN:
            return self._brackets(token)
        if token in _FRACTIONS:
            return _number(self._argument()) / _number(self._argument())
        if token == r"\sqrt":
            return self._root()
        if token == r"\begin":
            return self._matrix()
        if token.lstrip("\\") in _FUNCTIONS:
            return self._function(token.lstrip("\\"))
        return self._named(token)

    def _numeral(self, token: str) -> Value:
        if len(token) > _DIGITS or not token.isascii():
            raise UnreadableError
        while self.peek() == "," and self._thousands():
            token += self._tokens[self._at + 1]
            self._at += 2
        if self._skip({"_"}):
            return Group("_", (Fraction(token), self._atom()))
        return Fraction(token)

    def _thousands(self) -> bool:
        """Whether `,280` follows, at the outermost level: in brackets a comma separates."""
        after = self._tokens[self._at + 1 : self._at + 2]
        whole = len(self._tokens[self._at - 1]) <= 3 and self._tokens[self._at - 1].isdigit()
        return self._depth == 1 and whole and bool(after) and bool(re.fullmatch(r"\d{3}", after[0]))

    def _brackets(self, opening: str) -> Value:
        value = self.several()
        closing = self._take()
        if closing not in _CLOSE:
            raise UnreadableError
        inner = value.items if isinstance(value, Group) and value.kind == "," else (value,)
        if opening == "(" and closing == ")" and len(inner) == 1:
            return value
        return Group(opening + closing, inner)

    def _matrix(self) -> Value:
        if self._braced() not in _MATRICES:
            raise UnreadableError
        rows: list[list[Value]] = [[self._sum()]]
        while separator := self._skip({"&", "\\\\"}):
            if separator == "&":
                rows[-1].append(self._sum())
            elif self.peek() != r"\end":
                rows.append([self._sum()])
        self._expect(r"\end")
        self._braced()
        return Group("matrix", tuple(Group("row", tuple(row)) for row in rows))

    def _root(self) -> Number:
        degree: Number = Fraction(2)
        if self._skip({"["}):
            degree = _number(self.several())
            self._expect("]")
        return _root(_number(self._argument()), degree)

    def _function(self, name: str) -> Number:
        power = _number(self._argument()) if self._skip({"^"}) else Fraction(1)
        base = _number(self._argument()) if name == "log" and self._skip({"_"}) else None
        value = _FUNCTIONS[name](complex(_number(self._operand())))
        return _to_the(value if base is None else value / cmath.log(complex(base)), power)

    def _operand(self) -> Value:
        """What follows a function: `\\sin 2x` takes all factors, `\\sin(x) y` the brackets alone."""
        if self.peek() in ("(", "{"):
            return self._power()
        value = _number(self._power())
        while self._at_factor() and (self.peek() or "").lstrip("\\") not in _FUNCTIONS:
            value = value * _number(self._power())
        return value

    def _named(self, token: str) -> Value:
        if token == r"\pi":
            return complex(math.pi)
        if token == "i":
            return 1j
        if token == "e":
            return complex(math.e)
        if not re.fullmatch(r"[A-Za-z]|\\[A-Za-z]+", token) or _NO_FACTOR.fullmatch(token):
            raise UnreadableError
        name = token
        if self._skip({"_"}):
            name += self._subscript()
        if re.fullmatch(r"\(\d+(\.\d+)?\)", "".join(self._tokens[self._at : self._at + 3])):
            raise UnreadableError  # f(0): a value of a function, or a product?
        return complex(0.6 + Random(f"{self._point} {name}").random())

    def _subscript(self) -> str:
        return self._braced() if self.peek() == "{" else self._take()

    def _braced(self) -> str:
        """The content of a group, as text."""
        self._expect("{")
        text = ""
        while (token := self._take()) != "}":
            text += token
        return text


def _number(value: Value) -> Number:
    if isinstance(value, Group):
        raise UnreadableError
    return value


def _to_the(base: Number, exponent: Number) -> Number:
    whole = isinstance(exponent, Fraction) and exponent.denominator == 1
    if whole and isinstance(base, Fraction) and isinstance(exponent, Fraction):
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent) <= _BITS:
            return base ** int(exponent)
    power: complex = complex(base) ** complex(exponent)
    return power


def _root(value: Number, degree: Number) -> Number:
    """A root, exact where it is rational; the real one of a negative number and an odd degree."""
    if isinstance(value, Fraction) and degree == 2 and value >= 0:
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
    real = complex(value)
    if degree == 3 and real.imag == 0 and real.real < 0:
        return -(_to_the(-real, Fraction(1, 3)))
    return real ** (1 / complex(degree))


def _factorial(value: Number) -> Number:
    if isinstance(value, Fraction) and value.denominator == 1 and 0 <= value <= 170:
        return Fraction(math.factorial(int(value)))
    raise UnreadableError
