"""Completions as they grow, and what ends them: a token, a length, or a string in their bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models.pieces import token_pieces
from reasonmaxxer.rollouts.engine import Completion


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
        found = any(string in tail for string in self._strings)
        del tail[: max(0, len(tail) - self._kept)]
        return found

    def cut(self, ids: Sequence[int]) -> int | None:
        """Tokens of a completion up to the one that ends it; None where no string occurs."""
        tail = bytearray()
        return next((n for n, token in enumerate(ids, 1) if self.ends(tail, token)), None)


class Growing:
    """Completions that are given one token after another.

    Args:
        count: of completions, empty so far.
        sampling: gives the longest length and the stop strings.
        eos_ids: tokens that end a completion.
        tokenizer: which only stop strings need.
    """

    def __init__(self, count: int, sampling: SamplingConfig, eos_ids: Collection[int], tokenizer: Any) -> None:
        self.completions = [Completion([], [], [], "length") for _ in range(count)]
        self._tails = [bytearray() for _ in range(count)]  # what stop strings may begin with
        self._stop = StopStrings(sampling.stop, tokenizer)
        self._eos_ids, self._limit = eos_ids, sampling.max_new_tokens

    def keep(self, number: int, token: int, entropy: float, logprob: float) -> bool:
        """Add a token to a completion; whether it is the last."""
        kept = self.completions[number]
        assert kept.entropy is not None and kept.logprob is not None
        kept.ids.append(token)
        kept.entropy.append(entropy)
        kept.logprob.append(logprob)
        if token in self._eos_ids or self._stop.ends(self._tails[number], token):
            self.completions[number] = replace(kept, finish_reason="stop")
            return True
        return len(kept.ids) >= self._limit
