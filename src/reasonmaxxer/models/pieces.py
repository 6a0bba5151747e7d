"""The bytes behind token ids.

A token need not be text: byte-level vocabularies cut characters of several bytes into pieces, which
no decoder can show one at a time. Three alphabets are known: byte-level BPE (GPT-2's 256 letters, one
a byte), SentencePiece (`▁` for a space, `<0xNN>` for a byte), and plain words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"

Alphabet = Literal["bytes", "sentencepiece", "words"]


@dataclass(frozen=True)
class Piece:
    """One token of a vocabulary.

    Attributes:
        id: token id.
        piece: the bytes it stands for; of a special token, its name in UTF-8.
        special: whether it is a special token, or an id the tokenizer has no token for.
    """

    id: int
    piece: bytes
    special: bool


def token_pieces(tokenizer: Any, ids: Iterable[int]) -> list[Piece]:
    """Bytes of each id, in the order given.

    Args:
        tokenizer: a transformers tokenizer, fast or slow.
        ids: any ids; models may have more than their tokenizer.
    """
    added = tokenizer.added_tokens_decoder
    alphabet = _alphabet(set(tokenizer.get_vocab()) - {str(token) for token in added.values()})
    special = set(tokenizer.all_special_ids)
    return [_piece(tokenizer, id, added, special, alphabet) for id in ids]


def _piece(tokenizer: Any, id: int, added: dict[int, Any], special: set[int], alphabet: Alphabet) -> Piece:
    if id in added:  # stands for its own text
        token = added[id]
        return Piece(id, str(token).encode(), token.special or id in special)
    name = tokenizer.convert_ids_to_tokens(id) if id < len(tokenizer) else None
    if name is None:
        return Piece(id, f"<no token {id}>".encode(), True)
    if id in special:
        return Piece(id, name.encode(), True)
    return Piece(id, _bytes_of(name, alphabet), False)


def _bytes_of(name: str, alphabet: Alphabet) -> bytes:
    if alphabet == "bytes":
        return bytes(_LETTERS[letter] for letter in name)
    if alphabet == "words":
        return f" {name}".encode()  # decoders put a space between words
    byte = _BYTE.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace(_SPACE, " ").encode()


def _alphabet(names: set[str]) -> Alphabet:
    letters = {letter for name in names for letter in name}
    if letters <= _LETTERS.keys() and "Ġ" in letters:  # Ġ is the space
        return "bytes"
    return "sentencepiece" if _SPACE in letters else "words"


def _byte_letters() -> dict[str, int]:
    """GPT-2's letter of each byte: printable ones are themselves, others follow from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + n): b for n, b in enumerate(others)}


_LETTERS = _byte_letters()
