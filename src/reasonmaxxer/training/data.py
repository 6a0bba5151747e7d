"""From examples to batches: rows of tokens, and which of their hidden states the loss looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.signal.gates import Gate
from reasonmaxxer.signal.select import Example
from reasonmaxxer.training.packing import PADDING, PROMPT, Row, pack


def training_rows(examples: Sequence[Example], gate: Gate) -> list[dict[str, Any]]:
    """Rows for `ReasonMaxxerTrainer`: each example with the gate's decision points."""
    return [
        {
            "prompt_ids": example.prompt_ids,
            "completion_ids": example.completion_ids,
            "advantage": example.advantage,
            "decision": gate.decisions(example.entropy, example.key).tolist(),
            "base_logprob": example.logprob,
        }
        for example in examples
    ]


@dataclass
class Collator:
    """Packs sequences into rows and lists the hidden states that the two terms of the loss need.

    A sequence has `prompt_ids`, `completion_ids`, `advantage`, `decision` (a bool a completion token)
    and, optionally, `base_logprob`. Padding is known by position, never by token id.

    Attributes:
        pad_id: any id; no padded position is attended to or counted.
        max_length: tokens kept of a sequence, cut on the right.
        anchor_positions: `all` anchors prompt and completion, `completion` the completion alone.
    """

    pad_id: int
    max_length: int
    anchor_positions: Literal["all", "completion"] = "all"

    def __call__(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Batch of S sequences in B rows, T tokens the longest.

        Returns:
            `input_ids`, `position_ids`, `branch` int64 [B, T]: tokens, their positions within their
            sequence, and which of a row's completions they belong to (`packing.PROMPT`,
            `packing.PADDING` or 1, 2, ...). `attention_mask` int64 [B, T] only where no row is shared:
            kernels for plain causal attention are faster.
            `layout`: of each row, tokens of the prompt and of each completion.
            `advantage` float32 [S].
            `decision_index`, `decision_target` int64 [N]: hidden state, counted over [B * T], that
            predicts each decision point, and its token; `decision_advantage`, `decision_weight`
            (one over the decision points of its sequence), `base_logprob` (NaN where unknown)
            float32 [N].
            `anchor_index` int64 [M], `anchor_weight` float32 [M]: hidden states anchored, and the
            sum over the sequences they serve of one over that sequence's anchors.
        """
        kept = [self._cut(sequence) for sequence in sequences]
        rows = pack(kept)
        width = max(map(len, rows))
        batch: dict[str, Any] = {
            "input_ids": _table(rows, width, self.pad_id, "ids"),
            "position_ids": _table(rows, width, 0, "positions"),
            "branch": _table(rows, width, PADDING, "branches"),
            "layout": [[len(row.prompt), *map(len, row.completions)] for row in rows],
            "advantage": torch.tensor([s["advantage"] for s in sequences], dtype=torch.float32),
        }
        places = {
            member: number * width + row.places(slot)
            for number, row in enumerate(rows)
            for slot, member in enumerate(row.members)
        }
        targets = [
            self._targets(sequence, len(prompt), places[index])
            for index, (sequence, (prompt, _)) in enumerate(zip(sequences, kept, strict=True))
        ]
        if all(len(row.members) == 1 for row in rows):
            batch["attention_mask"] = (batch["branch"] != PADDING).long()
        return batch | _decisions(targets) | _anchors(targets)

    def _cut(self, sequence: dict[str, Any]) -> tuple[list[int], list[int]]:
        prompt = list(sequence["prompt_ids"])[: self.max_length]
        return prompt, list(sequence["completion_ids"])[: self.max_length - len(prompt)]

    def _targets(self, sequence: dict[str, Any], start: int, places: np.ndarray) -> _Targets:
        """What one sequence asks of the hidden states at `places`."""
        length = len(places)
        kept = length - start
        decision_T = np.zeros(length, dtype=bool)
        decision_T[start:] = np.asarray(sequence["decision"], dtype=bool)[:kept]
        anchor_T = ~decision_T
        anchor_T[: 0 if self.anchor_positions == "all" else start] = False
        decision_T[:1] = anchor_T[:1] = False  # token 0 is predicted by nothing
        logprob_T = np.full(length, np.nan, dtype=np.float32)
        if sequence.get("base_logprob") is not None:
            logprob_T[start:] = sequence["base_logprob"][:kept]
        ids = np.concatenate([sequence["prompt_ids"][:start], sequence["completion_ids"][:kept]])
        decided, anchored = np.flatnonzero(decision_T), np.flatnonzero(anchor_T)
        return _Targets(
            index=places[decided - 1],
            token=ids[decided].astype(np.int64),
            advantage=np.full(len(decided), sequence["advantage"], dtype=np.float32),
            base_logprob=logprob_T[decided],
            anchor=places[anchored - 1],
        )


@dataclass(frozen=True)
class _Targets:
    """Decision points and anchors of one sequence."""

    index: np.ndarray
    token: np.ndarray
    advantage: np.ndarray
    base_logprob: np.ndarray
    anchor: np.ndarray


def _decisions(targets: Sequence[_Targets]) -> dict[str, Tensor]:
    weights = [np.full(len(t.index), 1 / max(1, len(t.index)), np.float32) for t in targets]
    columns = {
        "decision_index": [t.index for t in targets],
        "decision_target": [t.token for t in targets],
        "decision_advantage": [t.advantage for t in targets],
        "decision_weight": weights,
        "base_logprob": [t.base_logprob for t in targets],
    }
    return {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items()}


def _anchors(targets: Sequence[_Targets]) -> dict[str, Tensor]:
    """A prompt's hidden states serve every sequence of its row: their weights add up."""
    places = np.concatenate([t.anchor for t in targets])
    shares = np.concatenate([np.full(len(t.anchor), 1 / max(1, len(t.anchor))) for t in targets])
    index, inverse = np.unique(places, return_inverse=True)
    weight = np.bincount(inverse, shares, minlength=len(index)).astype(np.float32)
    return {"anchor_index": torch.from_numpy(index), "anchor_weight": torch.from_numpy(weight)}


def _table(rows: Sequence[Row], width: int, fill: int, attribute: str) -> Tensor:
    table = np.full((len(rows), width), fill, dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = getattr(row, attribute)
    return torch.from_numpy(table)


def visible(branch_BT: Tensor, position_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens of its row each token may attend to, bool [B, T, T], and how far back they lie.

    A completion sees its prompt and its own past. Padding sees itself, so that no row is empty.
    """
    query, key = branch_BT[:, :, None], branch_BT[:, None, :]
    distance_BTT = position_BT[:, :, None] - position_BT[:, None, :]
    same = (query == key) | ((key == PROMPT) & (query != PADDING))
    itself = torch.eye(branch_BT.shape[1], dtype=torch.bool, device=branch_BT.device)
    return (same & (distance_BTT >= 0) & (query != PADDING)) | itself, distance_BTT
