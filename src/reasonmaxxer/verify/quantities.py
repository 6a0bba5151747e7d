"""Plain numbers in any notation with the unit or noun beside them, read and compared in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.verify.conventions import EXACT, Conventions

_WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
_NUMBERS: dict[str, int] = _WORDS["numbers"]
_SCALES: dict[str, int] = _WORDS["scales"]
_CHANGING = frozenset(_WORDS["changing"])

_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?:\.\d{3}){2,}|[1-9]\d?(?:,\d{2})+,\d{3}|\d+"
_COMMA = r"(?<=(?<!\d)0),\d+|,(?:\d{1,2}|\d{4,})(?!\d)"  # of decimals, as before three digits it groups
_LITERAL = (
    r"(?:(?P<mixed>\d+)(?:\s*(?=\\frac)|\s+(?=\d+/\d)))?(?:\\frac\{(?P<n>\d+)\}\{(?P<d>\d+)\}"
    rf"|(?P<whole>{_GROUPED})?(?P<decimals>\.\d*|{_COMMA})?"
    r"(?:[eE](?P<e>[+-]?\d{1,3})|\s*\\(?:times|cdot)\s*10\s*\^\s*(?:(?P<ten>\d)|\{(?P<tens>-?\d{1,3})\}))?"
    r"(?:/(?P<divisor>\d+))?)"
)
_QUANTITY = re.compile(
    r"(?:(?:only|exactly|just|about|approximately|around|roughly|nearly|(?:a |the )?total of|equals?|is|usd|rs\.?)"
    r"\s+)*"
    rf"(?:(?P<minus>-|minus\s|negative\s)|\+|plus\s|positive\s)?\s*{_LITERAL}"
    rf"(?P<scales>(?:\s*(?:{'|'.join(_SCALES)})s?(?![A-Za-z]))*)"
    r"(?:\s*(?P<percent>\\?%|percent(?:age)?(?![A-Za-z])|pct(?![A-Za-z])))?(?P<unit>.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_POWER = re.compile(r"(?<=[A-Za-z])\s*\^\s*(?:-?\d|\{\s*-?\d\s*\})")
_BETWEEN_WORDS = re.compile(r"[\s/*]+|\\cdot|(?<=\D)-(?=[A-Za-z])")
_UNIT_BEGINS = re.compile(r"(?:(?<=[\d})\]])|(?<=\\pi))\s*(?=[A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+")


@dataclass(frozen=True)
class Quantity:
    """A number and the words beside it, such as its unit.

    Attributes:
        value: the number.
        unit: the words.
        comma: whether a comma was read as one number's, where it may separate two.
    """

    value: Fraction
    unit: str = ""
    comma: bool = False


def quantity(text: str, conventions: Conventions) -> Quantity | None:
    r"""A cleaned answer as a number with a unit; none if it is anything else.

    That is 12, -1,234.5, 3/4, \frac{3}{4}, 2 1/2, 6.0e23, 50%, 7 million, twenty-four, 5 km/h.
    """
    text = text.strip("()") if re.fullmatch(r"\(-?\d+\)", text) else text
    found = _QUANTITY.fullmatch(text) if len(text) <= LONGEST_ANSWER else None
    part = found.groupdict(default="") if found else dict.fromkeys(_QUANTITY.groupindex, "")
    number = part["n"] or re.sub("[.,]", "", part["whole"]) + part["decimals"].replace(",", ".")
    if not number.strip("."):
        return _in_words(text)
    divisor = part["d"] or part["divisor"] or "1"
    several = conventions.several and "," in part["whole"] + part["decimals"]
    if several or not divisor.strip("0") or not _is_unit(part["unit"]):
        return None
    exponent = int(part["e"] or part["ten"] or part["tens"] or 0)
    value = Fraction(f"0{number}") * Fraction(10) ** exponent / int(divisor) + int(part["mixed"] or 0)
    for scale in re.findall(r"[A-Za-z]+|[^\sA-Za-z]", part["scales"].lower()):
        value *= _SCALES[scale.rstrip("s")]
    if part["percent"] and conventions.percent == "hundredths":
        value /= 100
    comma = "," in part["decimals"] or re.search(r",\d\d,", part["whole"]) is not None
    return Quantity(-value if part["minus"] else value, part["unit"].strip(), comma)


def _in_words(text: str) -> Quantity | None:
    """A number in English words, as "twenty-four"."""
    words = text.lower().replace("-", " ").split()
    if not words or not set(words) <= {*_NUMBERS, *_SCALES, "and"} or words[0] not in _NUMBERS:
        return None
    total = group = 0
    for word in words:
        if word in _NUMBERS:
            group += _NUMBERS[word]
        elif word in ("hundred", "dozen"):
            group *= _SCALES[word]
        elif word != "and":
            total, group = total + group * _SCALES[word], 0
    return Quantity(Fraction(total + group))


def same_quantity(gold: Quantity, extracted: Quantity, conventions: Conventions) -> bool:
    """Whether two quantities are the same; a unit that only one of them names counts for nothing."""
    value = extracted.value
    if conventions.units == "compared" and gold.unit and extracted.unit and gold.unit != extracted.unit:
        units = _measure(gold.unit), _measure(extracted.unit)
        if units[0] is not None and units[1] is not None and units[0].is_compatible_with(units[1]):
            value *= Fraction(str((1 * units[1]).to(units[0]).magnitude)).limit_denominator(10**9)
    return same_number(gold.value, value, conventions)


def same_number(gold: Fraction, extracted: Fraction, conventions: Conventions = EXACT) -> bool:
    """Whether two literals are the same number; 1/3 is also 0.333333, six places or more."""
    difference = abs(gold - extracted)
    relative = Fraction(conventions.relative_tolerance) * abs(gold)
    if difference <= max(Fraction(conventions.absolute_tolerance), relative):
        return True
    if _terminates(gold) == _terminates(extracted):
        return False
    rounded = extracted if _terminates(extracted) else gold
    six_places = (rounded * 10**5).denominator > 1 and round(gold, 6) == round(extracted, 6)
    return six_places and difference <= abs(gold) / 10**5


def _terminates(value: Fraction) -> bool:
    """Whether the decimal expansion ends, as it does if only 2 and 5 divide the denominator."""
    power: int = 10 ** value.denominator.bit_length()
    return power % value.denominator == 0


def without_unit(text: str) -> str:
    """A cleaned expression without the unit at its end; beside variables, one letter is another of them."""
    for begin in _UNIT_BEGINS.finditer(text):
        rest, unit = text[: begin.start()], text[begin.start() :]
        variables = re.search(r"[A-Za-z]", _COMMAND.sub("", rest))
        letter = len(unit.strip()) == 1 and (variables or not unit[0].isspace())
        if _is_unit(unit) and not letter:
            return rest
    return text


@lru_cache(4096)
def _is_unit(text: str) -> bool:
    """Whether words beside a number leave its value alone: units, and nouns as in "12 red apples"."""
    if re.match(r"[A-Za-z]\^", text):  # 3s^2 is a variable's
        return False
    spaced = text[:1].isspace() or not text
    words = _BETWEEN_WORDS.split(_POWER.sub(" ", text).strip(" .,"))
    return all(_leaves(word.strip(".,'()"), spaced) for word in words)


def _leaves(word: str, spaced: bool) -> bool:
    if not word:
        return True
    if not word.replace("'", "").isalpha() or word.lower() in _CHANGING:
        return False
    if not word.isascii():
        return True
    if len(word) == 1:
        return word in ("mgshLNJWVK" if spaced else "mgs")
    if len(word) == 2:
        return (spaced and word.lower() in _WORDS["short"]) or _known(word)
    return _known(word) or (bool(re.search("[aeiou]", word.lower())) and spaced)


@cache
def _registry() -> Any:
    from pint import UnitRegistry

    registry: Any = UnitRegistry(cache_folder=None)
    registry.define("byte = [information] = B")
    registry.define("dollar = [currency]")
    registry.define("cent = dollar / 100")
    return registry


@cache
def _known(word: str) -> bool:
    """Whether pint knows the unit, by an everyday prefix."""
    return any(prefix in _WORDS["prefixes"] for prefix, *_ in _registry().parse_unit_name(word))


@lru_cache(4096)
def _measure(unit: str) -> Any | None:
    """The unit as pint reads it if it is of length, area, volume, time, mass, speed or money; else none."""
    from pint import PintError

    try:
        parsed = _registry().parse_units(_POWER.sub(lambda power: power[0].replace("{", "").replace("}", ""), unit))
    except (PintError, ValueError, TypeError, AttributeError, SyntaxError):
        return None  # words of which pint makes nothing: pint has no one way to say so
    return parsed if str(parsed.dimensionality) in _WORDS["measured"] else None
