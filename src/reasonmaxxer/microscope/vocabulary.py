"""The bytes of the tokens that a table mentions, kept beside it: no tokenizer is needed to show them."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from reasonmaxxer.artifacts import schema
from reasonmaxxer.models.pieces import token_pieces

VOCABULARY = schema({"id": pa.int32(), "piece": pa.binary(), "special": pa.bool_()})


def pieces_table(ids: Iterable[int], tokenizer: Any) -> pa.Table:
    """A table of `VOCABULARY`: each id once, by id."""
    rows = [vars(piece) for piece in token_pieces(tokenizer, sorted(set(ids)))]
    return pa.Table.from_pylist(rows, schema=VOCABULARY)


def texts_of(vocabulary: pa.Table) -> dict[int, str]:
    """Text of every id of a table of `VOCABULARY`, half characters replaced."""
    pieces = zip(vocabulary["id"].to_pylist(), vocabulary["piece"].to_pylist(), strict=True)
    return {id: piece.decode("utf-8", errors="replace") for id, piece in pieces}
