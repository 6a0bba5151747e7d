"""A teacher's opinions of given completions, as a table; and how near another model comes to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from reasonmaxxer.microscope.distillation.loss import Opinions, joined, opinions_of, student_kl
from reasonmaxxer.microscope.states import TokenSequence, state_batches
from reasonmaxxer.models import OutputHead
from reasonmaxxer.models.cpu.frozen import frozen

SCHEMA = pa.schema(
    [
        pa.field("top_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("top_logprobs", pa.list_(pa.float32()), nullable=False),
        pa.field("rest_logprob", pa.list_(pa.float32()), nullable=False),
    ]
)


@torch.inference_mode()
def teacher_opinions(
    sequences: Sequence[TokenSequence], model: Any, top: int, on_scored: Callable[[int], None] | None = None
) -> list[Opinions]:
    """Opinions of each completion, by one forward of the teacher as it stands.

    Args:
        sequences: any number, in any order.
        model: the teacher; put into eval mode.
        top: most likely tokens kept a position; all of a smaller vocabulary.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        One a sequence, of as many positions as its completion has tokens, in main memory.
    """
    found: dict[int, Opinions] = {}
    with frozen(model):
        head = OutputHead(model)
        for batch, hidden_ND in state_batches(sequences, model):
            sizes = [len(sequences[i].completion_ids) for i in batch]
            parts = opinions_of(head, hidden_ND, top).to("cpu").split(sizes)
            for index, own in zip(batch, parts, strict=True):
                found[index] = own
                if on_scored:
                    on_scored(len(sequences[index]))
    return [found[i] for i in range(len(sequences))]


@torch.inference_mode()
def mean_kl(
    sequences: Sequence[TokenSequence],
    opinions: Sequence[Opinions],
    model: Any,
    on_scored: Callable[[int], None] | None = None,
) -> np.ndarray:
    """KL(teacher || model) in nats, the mean over each completion (arXiv 2605.06241, Eq. 4).

    Args:
        sequences: what the teacher has read.
        opinions: the teacher's, of each.
        model: as it stands, with an adapter or without; put into eval mode.
        on_scored: called with the tokens of each sequence, prompt included, once it is scored.

    Returns:
        One number a sequence, float64.
    """
    means = np.empty(len(sequences))
    with frozen(model):
        head = OutputHead(model)
        for batch, hidden_ND in state_batches(sequences, model):
            teacher = joined([opinions[i] for i in batch]).to(hidden_ND.device)
            sizes = [len(sequences[i].completion_ids) for i in batch]
            parts = torch.split(student_kl(head, hidden_ND, teacher).double(), sizes)
            for index, kl_T in zip(batch, parts, strict=True):
                means[index] = kl_T.mean().item()
                if on_scored:
                    on_scored(len(sequences[index]))
    return means


def opinion_table(opinions: Sequence[Opinions]) -> pa.Table:
    """One row a completion: of T tokens, T x K ids and log-probabilities, and T of the rest."""
    columns = zip(*((o.ids_NK, o.logprob_NK, o.rest_N) for o in opinions), strict=True)
    return pa.Table.from_arrays(
        [_lists([part.flatten().numpy() for part in column]) for column in columns], schema=SCHEMA
    )


def opinions_from_table(table: pa.Table) -> list[Opinions]:
    """Opinions back from a table."""
    rows = zip(*(_tensors(table[name]) for name in SCHEMA.names), strict=True)
    return [Opinions(ids.view(len(rest), -1), logprobs.view(len(rest), -1), rest) for ids, logprobs, rest in rows]


def _lists(arrays: Sequence[np.ndarray]) -> pa.Array:
    offsets = pa.array(np.cumsum([0, *map(len, arrays)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(arrays)))


def _tensors(column: pa.ChunkedArray) -> list[torch.Tensor]:
    return [torch.from_numpy(row.values.to_numpy().copy()) for row in column]
