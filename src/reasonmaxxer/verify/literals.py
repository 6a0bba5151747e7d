"""Answers that can be compared at a glance, in linear time: plain numbers, words, choice letters."""

from __future__ import annotations

import re
from fractions import Fraction

from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import bare, clean, only_text, without_text

LONGEST_ANSWER = 1000  # characters; what is longer is no answer, and is not parsed

_LITERAL = re.compile(
    r"([+-]?)\s*(?:(?P<mixed>\d+)(?:\s*(?=\\frac)|\s+(?=\d+/\d)))?"
    r"(?:\\frac\{(?P<n>\d+)\}\{(?P<d>\d+)\}"
    r"|(?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?P<decimals>\.\d*)?"
    r"(?:[eE](?P<e>[+-]?\d{1,3})|\s*\\(?:times|cdot)\s*10\s*\^\s*(?:(?P<ten>\d)|\{(?P<tens>-?\d{1,3})\}))?"
    r"(?:/(?P<divisor>\d+))?)",
    re.ASCII,
)
_UNIT = re.compile(
    r"(?<=[\d}])(?:\s*(?:[cmk]m|k?g|mg|ml|ft|in|mi|lbs?|hrs?|mph|min|sec)"
    r"|\s+(?!hundred|thousand|[mbtr]+illion|dozen|pairs?\b)[A-Za-z]{2,}(?:[ /][A-Za-z]+)*"
    r"|\s+[mgshLNJWVK](?:/[a-z]+)?)(?:\s*\^\s*(?:\d|\{-?\d\}))?",
    re.ASCII,
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_NAME = re.compile(r"^[A-Za-z]+\s*=\s*")
_CHOICE = re.compile(r"\(?([A-Z])\)?")
_CHOSEN = re.compile(r"\(([A-Z])\).*|([A-Z])(?:[.:)].*)?", re.DOTALL)
_LETTER = re.compile(r"(?:\([A-E]\)|[A-E][.:)])\s*(?=\S)")
_NUMERAL = re.compile(
    r"\(?(-?[\dA-F.]*\d[\dA-F.]*)\)?\s*(?:_\s*(?:(\d)|\{\s*(\d+)\s*\}))?", re.ASCII
)


def number(text: str, grouped: bool = True) -> Fraction | None:
    r"""The value of a plain literal; none for all else.

    That is 12, -1,234.5, 3/4, \frac{3}{4}, 2\frac{1}{2}, 2 1/2, 6.0e23, 6 \times 10^{23}, $7, 50%.

    Args:
        text: an answer.
        grouped: whether commas may group thousands.
    """
    return _number(clean(text), grouped)


def _number(text: str, grouped: bool) -> Fraction | None:
    literal = _LITERAL.fullmatch(bare(text)) if len(text) <= LONGEST_ANSWER else None
    if literal is None or (not grouped and "," in literal[0]):
        return None
    part = literal.groupdict(default="")
    if part["n"]:
        value = Fraction(int(part["n"]), int(part["d"])) if int(part["d"]) else None
    else:
        value = _decimal(part)
    if value is None:
        return None
    value += int(part["mixed"] or 0)
    return -value if literal[1] == "-" else value


def _decimal(part: dict[str, str]) -> Fraction | None:
    digits = f"{part['whole'].replace(',', '')}{part['decimals']}"
    if not digits.strip(".") or (part["divisor"] and not int(part["divisor"])):
        return None
    exponent = int(part["e"] or part["ten"] or part["tens"] or 0)
    return Fraction(f"0{digits}") * Fraction(10) ** exponent / int(part["divisor"] or 1)


def same_number(gold: Fraction, extracted: Fraction, conventions: Conventions = EXACT) -> bool:
    """Whether two literals are the same number; 1/3 is also 0.333333, six places or more."""
    difference = abs(gold - extracted)
    if difference == 0:
        return True
    allowed = max(
        Fraction(conventions.absolute_tolerance),
        Fraction(conventions.relative_tolerance) * abs(gold),
    )
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
    verdict = _same_base(gold, extracted)
    if verdict is None:
        verdict = _same_number(gold, extracted, conventions)
    if verdict is None:
        verdict = _same_choice(gold, extracted)
    return _same_words(gold, extracted) if verdict is None else verdict


def _same_base(gold: str, extracted: str) -> bool | None:
    """Numerals with a base, as 52_8: the digits must agree, and the bases where both are given."""
    sides = [_NUMERAL.fullmatch(bare(text)) for text in (gold, extracted)]
    if not (sides[0] and sides[1]):
        return None
    bases = [side[2] or side[3] for side in sides if side]
    if bases == [None, None]:
        return None
    return sides[0][1] == sides[1][1] and (None in bases or bases[0] == bases[1])


def _same_number(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    if conventions.choices:
        extracted = _LETTER.sub("", bare(extracted), count=1)
    grouped = not conventions.several
    values = [_number(without_text(text), grouped) for text in (gold, extracted)]
    if values[0] is not None and values[1] is None:  # a unit counts as one only beside a number
        values[1] = _number(_without_unit(without_text(extracted)), grouped)
    if values[0] is None or values[1] is None:
        return None
    return same_number(values[0], values[1], conventions)


def _without_unit(text: str) -> str:
    for unit in _UNIT.finditer(text):
        if unit.end() == len(text):
            return text[: unit.start()]
    return text


def _same_choice(gold: str, extracted: str) -> bool | None:
    letter, chosen = _CHOICE.fullmatch(bare(gold)), _CHOSEN.fullmatch(bare(extracted))
    if letter is None or bare(gold) == gold == letter[1]:
        return None  # a bare capital may be a variable
    return chosen is not None and (chosen[1] or chosen[2]) == letter[1]


def _same_words(gold: str, extracted: str) -> bool | None:
    r"""Whether both read the same, `\text{June 20}` and `june 20` alike; wrong only if gold is words."""
    if gold == extracted != "":
        return True
    texts = [bare(text) for text in (gold, _NAME.sub("", extracted))]
    if texts != [gold, extracted]:
        words = [sorted(_words(text)) for text in texts]
        if words[0] == words[1] != [""]:
            return True
    return False if only_text(gold) else None


def _words(text: str) -> list[str]:
    """Parts of a text, in lower case and without an article."""
    text = " ".join(text.lower().split()).strip(" .'\"`")
    return [_ARTICLE.sub("", part) for part in re.split(r"\s*(?:,|\band\b)\s*", text)]
