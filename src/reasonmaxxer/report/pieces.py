"""Tokens and numbers in the form in which the token viewer takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.report.visible import split_characters, visible

PLAIN, ESCAPED, SPECIAL = 0, 1, 2
"""Kinds of token: text, partly bytes or control characters, a special token's name."""


class Pieces:
    """The tokens that a viewer mentions, each known by its place among them.

    Args:
        vocabulary: ids with their bytes.

    Attributes:
        shown: `[token id, text, kind]` of each.
    """

    def __init__(self, vocabulary: pa.Table) -> None:
        rows = vocabulary.to_pylist()
        self._places = {row["id"]: place for place, row in enumerate(rows)}
        self._bytes = {row["id"]: row["piece"] for row in rows}
        self.shown = [_shown(row) for row in rows]

    def places(self, ids: Sequence[int]) -> list[int]:
        """Places of tokens, by id."""
        return [self._places[id] for id in ids]

    def split(self, ids: Sequence[int]) -> list[tuple[int, int, str]]:
        """`[first, last, text]` of tokens that are characters only together."""
        return split_characters([self._bytes[id] for id in ids])


def _shown(row: Mapping[str, Any]) -> tuple[int, str, int]:
    text, escaped = visible(row["piece"])
    return row["id"], text, SPECIAL if row["special"] else ESCAPED if escaped else PLAIN


def thousandths(nats: Sequence[float]) -> list[int]:
    """Whole thousandths; a logit of minus infinity shows as -9999 nats."""
    whole: list[int] = np.rint(np.maximum(nats, -9999.0) * 1000).astype(np.int64).tolist()
    return whole
