"""Answers compared at a glance, in linear time: plain numbers with their units, words, choice letters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.verify.conventions import EXACT, Conventions

_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?:\.\d{3}){2,}|[1-9]\d?(?:,\d{2})+,\d{3}|\d+"
_COMMA = r"(?<=(?<!\d)0),\d+|,(?:\d{1,2}|\d{4,})(?!\d)"  # of decimals, as before three digits it groups
_LITERAL = (
    r"(?:(?P<mixed>\d+)(?:\s*(?=\\frac)|\s+(?=\d+/\d)))?(?:\\frac\{(?P<n>\d+)\}\{(?P<d>\d+)\}"
    rf"|(?P<whole>{_GROUPED})?(?P<decimals>\.\d*|{_COMMA})?"
    r"(?:[eE](?P<e>[+-]?\d{1,3})|\s*\\(?:times|cdot)\s*10\s*\^\s*(?:(?P<ten>\d)|\{(?P<tens>-?\d{1,3})\}))?"
    r"(?:/(?P<divisor>\d+))?)"
)
_BEFORE = (
    r"(?:(?:only|exactly|just|about|approximately|around|roughly|nearly|(?:a |the )?total of|equals?|is|usd"
    r"|rs\.?)\s+)*"
)
_SCALES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
}  # fmt: skip
_QUANTITY = re.compile(
    rf"{_BEFORE}(?:(?P<minus>-|minus\s|negative\s)|\+|plus\s|positive\s)?\s*{_LITERAL}"
    rf"(?P<scales>(?:\s*(?:{'|'.join(_SCALES)})s?(?![A-Za-z]))*)"
    r"(?:\s*(?P<percent>\\?%|percent(?:age)?(?![A-Za-z])|pct(?![A-Za-z])))?(?P<unit>.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_NUMBER_WORDS = {
    word: number
    for number, word in [
        *enumerate(
            re.findall(
                r"\w+",
                "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
                "fifteen sixteen seventeen eighteen nineteen",
            )
        ),
        (20, "twenty"), (30, "thirty"), (40, "forty"), (50, "fifty"),
        (60, "sixty"), (70, "seventy"), (80, "eighty"), (90, "ninety"),
    ]
}  # fmt: skip
# Beside a number these change its value, so that what they stand in is not the number.
_CHANGING = frozenset(
    re.findall(
        r"\w+",
        """half halves third thirds quarter quarters fourth fourths fifth fifths sixth tenth tenths
        hundredth hundredths squared cubed root factorial times plus minus over divided multiplied power mod
        modulo choose and or not than between to from except without double twice triple pair pairs couple
        score gross negative inverse reciprocal base remainder log sqrt sin cos tan wrong incorrect false
        never if when where for all hundred thousand million billion trillion dozen hundreds thousands
        millions recurring repeating infinity alpha beta gamma delta theta lambda sigma omega phi psi rho
        abc xyz none"
        """,
    )
)
_SHORT = frozenset(("in", "of", "on", "at", "us", "am", "pm", "an", "hr", "sq", "cu"))
_PREFIXES = ("", "kilo", "centi", "milli", "deci", "nano", "micro", "mega", "giga")
_MEASURED = (
    "[length]",
    "[length] ** 2",
    "[length] ** 3",
    "[time]",
    "[mass]",
    "[length] / [time]",
    "[currency]",
    "[information]",
)
_POWER = re.compile(r"(?<=[A-Za-z])\s*\^\s*(?:-?\d|\{\s*-?\d\s*\})")
_END = re.compile(r"(?:(?<=[\d})\]])|(?<=\\pi))\s*(?=[A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_TEXT = re.compile(r"[\w\s.,'()-]*(?<![A-Za-z])[A-Za-z]{3}[\w\s.,'()-]*")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_NAME = re.compile(r"^[A-Za-z]+\s*=\s*")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?|\d\d?-\d\d?-\d{4}")
_CHOICE = re.compile(r"\(?([A-Z])\)?")
_CHOSEN = re.compile(r"\(([A-Z])\).*|([A-Z])(?:[.:)].*)?", re.DOTALL)
_VARIABLE = re.compile(r"\d[A-Za-z](?:\^|$)")  # as 3s^2, of which a unit would be set apart
_LETTER = re.compile(r"(?:\([A-E]\)|[A-E][.:)])\s*(?=\S)")
_NUMERAL = re.compile(r"\(?(-?[\dA-F.]*\d[\dA-F.]*)\)?\s*(?:_\s*(?:(\d+)|\{\s*(\d+)\s*\}))?", re.ASCII)


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
    part = found.groupdict(default="") if found else {}
    whole = re.sub("[.,]", "", part.get("whole", ""))
    digits = whole + part.get("decimals", "").replace(",", ".")
    if not (digits.strip(".") or part.get("n")):
        return _in_words(text)
    if part["d"].strip("0") == "" != part["d"]:
        return None
    if part["divisor"].strip("0") == "" != part["divisor"] or not _is_unit(part["unit"]):
        return None
    if "," in part["whole"] + part["decimals"] and conventions.several:
        return None
    exponent = int(part["e"] or part["ten"] or part["tens"] or 0)
    value = (
        Fraction(int(part["n"]), int(part["d"]))
        if part["n"]
        else Fraction(f"0{digits}") * Fraction(10) ** exponent / int(part["divisor"] or 1)
    )
    value += int(part["mixed"] or 0)
    for scale in re.findall(r"[A-Za-z]+|[^\sA-Za-z]", part["scales"].lower()):
        value *= _SCALES[scale.rstrip("s")]
    if part["percent"] and conventions.percent == "hundredths":
        value /= 100
    comma = "," in part["decimals"] or re.search(r",\d\d,", part["whole"]) is not None
    return Quantity(-value if part["minus"] else value, part["unit"].strip(), comma)


def _in_words(text: str) -> Quantity | None:
    """A number in English words, as "twenty-four"."""
    words = text.lower().replace("-", " ").split()
    if not words or not set(words) <= {*_NUMBER_WORDS, *_SCALES, "and"} or words[0] not in _NUMBER_WORDS:
        return None
    total = group = 0
    for word in words:
        if word in _NUMBER_WORDS:
            group += _NUMBER_WORDS[word]
        elif word in ("hundred", "dozen"):
            group *= _SCALES[word]
        elif word != "and":
            total, group = total + group * _SCALES[word], 0
    return Quantity(Fraction(total + group))


def without_unit(text: str) -> str:
    """A cleaned expression without the unit at its end; beside variables, one letter is another of them."""
    for end in _END.finditer(text):
        rest, unit = text[: end.start()], text[end.start() :]
        variables = re.search(r"[A-Za-z]", _COMMAND.sub("", rest))
        letter = len(unit.strip()) == 1 and (variables or not unit[0].isspace())
        if _is_unit(unit) and not letter:
            return rest
    return text


@lru_cache(4096)
def _is_unit(text: str) -> bool:
    """Whether words beside a number leave its value alone: units, and nouns as in "12 red apples"."""
    spaced = text[:1].isspace() or not text
    if _VARIABLE.match(f"0{text}") and "^" in text:
        return False
    words = (
        re.split(r"[\s/*]+|\\cdot|(?<=\D)-(?=[A-Za-z])", _POWER.sub(" ", text).strip(" .,"))
        if text.strip(" .,")
        else []
    )
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
        return (spaced and word.lower() in _SHORT) or _known(word)
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
    return any(prefix in _PREFIXES for prefix, *_ in _registry().parse_unit_name(word))


@lru_cache(4096)
def _measure(unit: str) -> Any | None:
    """The unit as pint reads it if it is of length, area, volume, time, mass, speed or money; else none."""
    from pint import PintError

    try:
        parsed = _registry().parse_units(_POWER.sub(lambda power: power[0].replace("{", "").replace("}", ""), unit))
    except (PintError, ValueError, TypeError, AttributeError, SyntaxError):
        return None  # words of which pint makes nothing: pint has no one way to say so
    return parsed if str(parsed.dimensionality) in _MEASURED else None


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
    if difference == 0:
        return True
    allowed = max(Fraction(conventions.absolute_tolerance), Fraction(conventions.relative_tolerance) * abs(gold))
    if difference <= allowed:
        return True
    rounded = next((value for value in (extracted, gold) if _terminates(value)), None)
    if rounded is None or _terminates(gold) == _terminates(extracted):
        return False
    six_places = (rounded * 10**5).denominator > 1 and round(gold, 6) == round(extracted, 6)
    return six_places and difference <= abs(gold) / 10**5


def _terminates(value: Fraction) -> bool:
    """Whether the decimal expansion ends, as it does if only 2 and 5 divide the denominator."""
    power: int = 10 ** value.denominator.bit_length()
    return power % value.denominator == 0


def plainly_same(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """Equality of two cleaned answers where it is plain; none: it takes a closer look."""
    if gold == extracted != "":
        return True
    if _DATE.fullmatch(gold) or _DATE.fullmatch(extracted):
        return False  # or 2024-03-01 would be 2020
    for compare in (_same_base, _same_quantities, _same_choice, _same_words):
        verdict = compare(gold, extracted, conventions)
        if verdict is not None:
            return verdict
    return None


def _same_base(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """Numerals with a base, as 52_8: digits must agree, and bases, ten where only the answer has one."""
    sides = [_NUMERAL.fullmatch(text) for text in (gold, extracted)]
    if not (sides[0] and sides[1]):
        return None
    bases = [side[2] or side[3] for side in sides if side]
    if bases == [None, None]:
        return None
    return sides[0][1] == sides[1][1] and (bases[1] or bases[0]) == (bases[0] or "10")


def _same_quantities(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    if _VARIABLE.search(gold):
        return None
    extracted = _LETTER.sub("", extracted, count=1)  # the letter of a choice, as in (C) 12
    quantities = quantity(gold, conventions), quantity(extracted, conventions)
    if quantities[0] is None or quantities[1] is None:
        return None
    if quantities[0].comma and not gold.startswith("0,"):
        return None  # a list, where the gold answer has a comma
    return same_quantity(quantities[0], quantities[1], conventions)


def _same_choice(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    letter, chosen = _CHOICE.fullmatch(gold), _CHOSEN.fullmatch(extracted)
    if letter is None:
        return None
    same = chosen is not None and (chosen[1] or chosen[2]) == letter[1]
    return same or (None if gold == letter[1] else False)  # a bare capital may be a variable


def _same_words(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """Whether two texts say the same, case and articles aside; the letters of words never commute."""
    extracted = extracted if "=" in gold else _NAME.sub("", extracted)
    words = is_words(gold), is_words(extracted)
    if not any(words) and not all(_TEXT.fullmatch(text) for text in (gold, extracted)):
        return None
    if words[0] and not words[1] and len(gold) <= 3:
        return None  # a product of letters
    said = [_words(text) for text in (gold, extracted)]
    return said[0] == said[1] or (sorted(said[0]) == sorted(said[1]) and conventions.order == "any")


def is_words(text: str) -> bool:
    """Whether a cleaned answer is nothing but words: letters, of which some are one."""
    words = re.sub(r"[\s,.'\"`;:!?()-]+", " ", text).split()
    return all(map(str.isalpha, words)) and any(
        len(w) > 3 or not w.isascii() or (len(w) > 1 and re.search("[aeiou]", w.lower())) for w in words
    )


def _words(text: str) -> list[str]:
    """Parts of a text, in lower case and without an article."""
    text = " ".join(text.lower().replace("-", " ").split()).strip(" .'\"`")
    return [_ARTICLE.sub("", part) for part in re.split(r"\s*(?:,|\band\b)\s*", text)]
