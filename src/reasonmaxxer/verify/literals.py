"""Answers compared at a glance, in the caller's process: numbers, numerals with a base, words, choice letters."""

from __future__ import annotations

import re

from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import clean
from reasonmaxxer.verify.quantities import quantity, same_quantity

_TEXT = re.compile(r"[\w\s.,'()-]*(?<![A-Za-z])[A-Za-z]{3}[\w\s.,'()-]*")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_NAME = re.compile(r"^[A-Za-z]+\s*=\s*")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?|\d\d?-\d\d?-\d{4}")
_CHOICE = re.compile(r"\(?([A-Z])\)?")
_CHOSEN = re.compile(r"\(([A-Z])\).*|([A-Z])(?:[.:)].*)?", re.DOTALL)
_VARIABLE = re.compile(r"\d[A-Za-z](?:\^|$)")  # as 3s^2, of which a unit would be set apart
_LETTER = re.compile(r"(?:\([A-E]\)|[A-E][.:)])\s*(?=\S)")
_NUMERAL = re.compile(r"\(?(-?[\dA-F.]*\d[\dA-F.]*)\)?\s*(?:_\s*(?:(\d+)|\{\s*(\d+)\s*\}))?", re.ASCII)


def plainly_equivalent(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Equality of two answers where it is plain, such as of two numbers; none: it takes a closer look."""
    return plainly_same(clean(gold), clean(extracted), conventions)


def plainly_same(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    """The same of two cleaned answers."""
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
    sides = _NUMERAL.fullmatch(gold), _NUMERAL.fullmatch(extracted)
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
    words = _is_words(gold), _is_words(extracted)
    if not any(words) and not (_TEXT.fullmatch(gold) and _TEXT.fullmatch(extracted)):
        return None
    if words[0] and not words[1] and len(gold) <= 3:
        return None  # a product of letters
    said = _words(gold), _words(extracted)
    return said[0] == said[1] or (sorted(said[0]) == sorted(said[1]) and conventions.order == "any")


def _is_words(text: str) -> bool:
    """Whether a cleaned answer is nothing but words: letters, of which some are one."""
    words = re.sub(r"[\s,.'\"`;:!?()-]+", " ", text).split()
    return all(map(str.isalpha, words)) and any(
        len(w) > 3 or not w.isascii() or (len(w) > 1 and re.search("[aeiou]", w.lower())) for w in words
    )


def _words(text: str) -> list[str]:
    """Parts of a text, in lower case and without an article."""
    text = " ".join(text.lower().replace("-", " ").split()).strip(" .'\"`")
    return [_ARTICLE.sub("", part) for part in re.split(r"\s*(?:,|\band\b)\s*", text)]
