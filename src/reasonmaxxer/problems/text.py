"""When two problems are the same: normalised text, its hash, and the split the hash gives it to."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

SplitName = Literal["train", "validation", "test"]

_QUOTES = "'\"`“”‘’„«»"
_TRAILING = _QUOTES + ",.!?;:"


def normalise(text: str) -> str:
    """The text by which problems are compared: two that normalise alike count as one.

    Unicode compatibility forms and letter case are folded (NFKC, casefold), white space becomes
    single spaces, and each word loses its surrounding quotes and its closing ``, . ! ? ; :``.
    Everything inside a word stays: digits, signs, ``1.5``, ``1,000``, backslashes and braces.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = (word.lstrip(_QUOTES).rstrip(_TRAILING) for word in folded.split())
    return " ".join(word for word in words if word)


def text_hash(text: str) -> str:
    """SHA-256 of the normalised text, hexadecimal."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()


def split_of(text: str) -> SplitName:
    """The one split a generated problem belongs to: 80 % train, 10 % validation, 10 % test.

    It depends on the normalised text alone, so no seed can put one problem into two splits.
    """
    tenth = int(text_hash(text), 16) % 10
    return "train" if tenth < 8 else "validation" if tenth == 8 else "test"
