"""Where and how two models differ on the same texts: a table by position, and its summary.

arXiv 2605.06241, Section 3 and Table 2. Texts are read shard by shard, each once by each model.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from reasonmaxxer.artifacts import schema, write_table
from reasonmaxxer.microscope.joint import JointScores, score_joint, separated
from reasonmaxxer.microscope.pair import ARMS, AdapterPair, Arm, Pair
from reasonmaxxer.models.states import completion_states, token_count
from reasonmaxxer.rollouts.table import SCHEMA, Rollout

PER_SHARD = 256
"""Texts read by one model before the other reads them."""
_OF_ROLLOUT = ("problem_id", "rollout", "outcome", "extracted", "detail", "finish_reason")
_INTEGERS = ("base_top", "tuned_top", "base_rank", "tuned_rank", "forward_rank", "backward_rank")
_TYPES = {"kind": pa.int8(), **dict.fromkeys(_INTEGERS, pa.int32())}


def column_name(field: str) -> str:
    """Column of the table that holds a field of `JointScores`: its name without its shape."""
    return field.rpartition("_")[0]


def _column_type(field: str) -> pa.DataType:
    inner = _TYPES.get(column_name(field), pa.float32())
    return pa.list_(pa.list_(inner) if field.endswith("_NK") else inner)


POSITIONS = pa.schema(
    [
        *(SCHEMA.field(name) for name in _OF_ROLLOUT),
        *schema({"ids": pa.list_(pa.int32())}),
        *schema({column_name(field.name): _column_type(field.name) for field in fields(JointScores)}),
    ]
)
"""One row a text, a list a column; the fields of `JointScores` by token."""


def compare_texts(
    pair: Pair | AdapterPair, rollouts: Sequence[Rollout], on_read: Callable[[int], None] | None = None
) -> list[JointScores]:
    """Read texts under both models, one model after the other.

    Args:
        pair: the models.
        rollouts: the texts; prompts and completions as token ids.
        on_read: called with the tokens of each text, once a model.

    Returns:
        Scores at the tokens of each completion.
    """
    if not rollouts:
        return []
    base, tuned = (read_states(pair, arm, rollouts, on_read) for arm in ARMS)
    heads = (pair.head("base"), pair.head("tuned"))
    scores = score_joint(base, tuned, heads, completion_ids(rollouts))
    return separated(scores, [len(rollout.completion_ids) for rollout in rollouts])


def read_states(
    pair: Pair | AdapterPair, arm: Arm, rollouts: Sequence[Rollout], on_read: Callable[[int], None] | None
) -> Tensor:
    """Final hidden states of one model before each token of the completions, one text after the other, [N, D]."""
    with pair.using(arm) as model:
        return torch.cat(completion_states(rollouts, model, on_read))


def completion_ids(rollouts: Sequence[Rollout]) -> Tensor:
    """Tokens of the completions, one text after the other, int64 [N]."""
    return torch.tensor([id for rollout in rollouts for id in rollout.completion_ids], dtype=torch.long)


def positions_table(rollouts: Sequence[Rollout], scores: Sequence[JointScores]) -> pa.Table:
    """Texts and their scores as a table of `POSITIONS`."""
    rows = [
        {
            **{name: getattr(rollout, name) for name in _OF_ROLLOUT},
            "ids": rollout.completion_ids,
            **{column_name(name): values.tolist() for name, values in vars(score).items()},
        }
        for rollout, score in zip(rollouts, scores, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=POSITIONS)


def compare_durably(
    pair: Pair, rollouts: Sequence[Rollout], folder: Path, on_read: Callable[[int], None] | None = None
) -> None:
    """`compare_texts` in shards that are written when they are done, and read if they are there.

    Args:
        pair: the models.
        rollouts: the texts.
        folder: receives `shard-00000.parquet`, ...
        on_read: called with the tokens of each text, once a model.
    """
    for number, start in enumerate(range(0, len(rollouts), PER_SHARD)):
        path, part = folder / f"shard-{number:05d}.parquet", rollouts[start : start + PER_SHARD]
        if not path.exists():
            write_table(positions_table(part, compare_texts(pair, part, on_read)), path)
        elif on_read:
            for rollout in [*part, *part]:  # both models have read them
                on_read(token_count(rollout))


def mentioned_ids(table: pa.Table) -> Iterator[int]:
    """Ids in a table of `POSITIONS`: those that are there and both top fives."""
    yield from table["ids"].combine_chunks().flatten().unique().to_pylist()
    for name in ("base_top", "tuned_top"):
        yield from table[name].combine_chunks().flatten().flatten().unique().to_pylist()


def flat(table: pa.Table, name: str) -> np.ndarray:
    """A column of a table of `POSITIONS` over all positions, [N] or [N, K]."""
    column = table[name].combine_chunks().flatten()
    if not pa.types.is_list(column.type):
        return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    return np.stack(column.to_numpy(zero_copy_only=False))


def lengths(table: pa.Table) -> np.ndarray:
    """Tokens of each text, [P]."""
    return np.diff(table["ids"].combine_chunks().offsets.to_numpy())
