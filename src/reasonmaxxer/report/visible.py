"""Bytes of tokens as text that shows itself."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST_RUN = 8
"""Tokens tried for one character: of its four bytes, and those that a neighbour shares a token with."""
_HIDDEN = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories of characters that show nothing or reorder their neighbours."""
_STRAY = re.compile("[\udc80-\udcff]+")


def visible(piece: bytes) -> tuple[str, bool]:
    """A token's bytes as text that shows itself, and whether any of it had to be spelled out.

    Bytes that are no whole UTF-8 character become `⟨E2 82⟩`, control characters other than newline
    and tab `⟨U+202E⟩`.
    """
    text = piece.decode("utf-8", "surrogateescape")
    shown = _STRAY.sub(lambda m: _spelled(f"{ord(c) - 0xDC00:02X}" for c in m[0]), text)
    shown = _spell_out(shown, "\n\t")
    return shown, shown != text


def visible_text(text: str) -> str:
    """Model text with control characters and direction marks spelled out.

    Line ends and tabs stay, and the joiners that scripts and emoji need.
    """
    return _spell_out(text, "\n\t\u200c\u200d")


def token_text(text: str) -> str:
    """A token's text with white space that is seen: `·the`, `⏎`."""
    shown = visible_text(text).replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")
    return shown or "(empty)"


def _spell_out(text: str, kept: str) -> str:
    return "".join(
        c if c in kept or unicodedata.category(c) not in _HIDDEN else _spelled([f"U+{ord(c):04X}"]) for c in text
    )


def split_characters(pieces: Sequence[bytes]) -> list[tuple[int, int, str]]:
    """Runs of tokens that are UTF-8 only together: first position, last position, what they spell."""
    found = []
    first = 0
    while first < len(pieces):
        last = first
        while not _is_text(b"".join(pieces[first : last + 1])):
            last += 1
            if last == min(first + LONGEST_RUN, len(pieces)):
                last = first  # never becomes text
                break
        if last > first:
            found.append((first, last, visible(b"".join(pieces[first : last + 1]))[0]))
        first = last + 1
    return found


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _spelled(parts: Iterable[str]) -> str:
    return f"⟨{' '.join(parts)}⟩"
