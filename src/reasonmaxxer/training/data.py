"""From examples to padded batches of positions with their roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from reasonmaxxer.signal.gates import Gate
from reasonmaxxer.signal.select import Example


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
    """Pads rows on the right and marks what each token is to the loss.

    A row has `prompt_ids`, `completion_ids`, `advantage`, `decision` (a bool a completion token) and,
    optionally, `base_logprob`. Padding is known by position, never by token id.

    Attributes:
        pad_id: any id; no padded position is attended to or counted.
        max_length: tokens kept, cut on the right.
        anchor_positions: `all` anchors prompt and completion, `completion` the completion alone.
    """

    pad_id: int
    max_length: int
    anchor_positions: Literal["all", "completion"] = "all"

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Batch of B rows, T tokens the longest.

        Returns:
            `input_ids`, `attention_mask` int64 [B, T]; `decision`, `anchor` bool [B, T], true where
            the token is a target of that term; `advantage` float32 [B]; `base_logprob` float32
            [B, T], NaN where unknown.
        """
        lengths = [
            min(len(row["prompt_ids"]) + len(row["completion_ids"]), self.max_length)
            for row in rows
        ]
        shape = (len(rows), max(lengths))
        batch = {
            "input_ids": torch.full(shape, self.pad_id),
            "attention_mask": torch.zeros(shape, dtype=torch.long),
            "decision": torch.zeros(shape, dtype=torch.bool),
            "anchor": torch.zeros(shape, dtype=torch.bool),
            "base_logprob": torch.full(shape, torch.nan),
            "advantage": torch.tensor([row["advantage"] for row in rows], dtype=torch.float32),
        }
        for b, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            self._fill({name: values[b] for name, values in batch.items()}, row, length)
        return batch

    def _fill(self, into: dict[str, Tensor], row: dict[str, Any], length: int) -> None:
        start = len(row["prompt_ids"])
        completion = slice(start, length)
        kept = max(0, length - start)
        into["input_ids"][:length] = torch.tensor(
            (list(row["prompt_ids"]) + list(row["completion_ids"]))[:length]
        )
        into["attention_mask"][:length] = 1
        into["decision"][completion] = torch.tensor(row["decision"][:kept], dtype=torch.bool)
        first = 1 if self.anchor_positions == "all" else start  # token 0 is predicted by nothing
        into["anchor"][first:length] = ~into["decision"][first:length]
        if row.get("base_logprob") is not None:
            into["base_logprob"][completion] = torch.tensor(row["base_logprob"][:kept])
