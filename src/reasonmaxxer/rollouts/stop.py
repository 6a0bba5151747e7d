"""Strings that end a completion, in the bytes of its tokens."""

from collections.abc import Sequence
from typing import Any

from reasonmaxxer.models.pieces import token_pieces


class StopStrings:
    """Says with which token a completion has spelled one of several strings.

    A string may begin and end within tokens; the prompt does not count. As in transformers, the token that
    completes it is the completion's last and is kept whole. A special token stands for its name.

    Args:
        strings: none of them empty; any number.
        tokenizer: a transformers tokenizer; not asked where there are no strings.
    """

    def __init__(self, strings: Sequence[str], tokenizer: Any) -> None:
        self._strings = [string.encode() for string in strings]
        self._kept = max(map(len, self._strings), default=1) - 1
        ids = range(len(tokenizer)) if strings else ()
        self._pieces = [piece.piece for piece in token_pieces(tokenizer, ids)] if strings else []

    def ends(self, tail: bytearray, token: int) -> bool:
        """Whether a completion ends with its next token.

        Args:
            tail: the last bytes of the completion so far, empty at its beginning; moved on in place.
            token: its next id; one that the tokenizer does not know stands for nothing.
        """
        if not self._strings:
            return False
        tail += self._pieces[token] if token < len(self._pieces) else b""
        spelled = any(string in tail for string in self._strings)
        del tail[: max(0, len(tail) - self._kept)]
        return spelled

    def cut(self, ids: Sequence[int]) -> int | None:
        """Tokens of a completion up to the one that ends it; None where no string occurs."""
        tail = bytearray()
        return next((n for n, token in enumerate(ids, 1) if self.ends(tail, token)), None)
