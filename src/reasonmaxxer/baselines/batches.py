"""Micro-batches of a step of reinforcement learning in which nothing is computed that teaches nothing.

TRL pads every micro-batch to the longest sequence of the step, and runs those of groups that are all right
or all wrong, whose gradient is zero. Which micro-batch a sequence is in makes no difference to a step's
gradient, so here those that teach come first, by length, each micro-batch is cut to its own, and the rest
is left out. RLOO also scores what it has just sampled once more before it learns from it; it need not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]
PROMPT = ("prompt_ids", "prompt_mask")
Lengths = Sequence[tuple[int, int]]
"""Tokens of prompt and completion of each sequence of a step."""


def compact(trainer: type[Any], on_learnt: Callable[[Lengths], None] | None) -> type[Any]:
    """TRL's trainer of an online method, with such micro-batches.

    Args:
        trainer: `GRPOTrainer` or `RLOOTrainer`.
        on_learnt: called with the tokens of prompt and completion of each sequence that a step learns from.
    """

    class Compact(trainer):  # type: ignore[misc]
        _buffered_inputs: list[Batch] | None
        _learning: Batch

        def _prepare_inputs(self, generation_batch: Any) -> Batch:
            before = self._buffered_inputs
            inputs: Batch = super()._prepare_inputs(generation_batch)
            if self._buffered_inputs is not None and self._buffered_inputs is not before:
                self._buffered_inputs = compact_batches(self._buffered_inputs, anchored=self.beta != 0)
                if on_learnt:
                    on_learnt([pair for batch in self._buffered_inputs for pair in _lengths(batch)])
                inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
            return inputs

        def _compute_loss(self, model: Any, inputs: Batch) -> Tensor:
            if len(inputs["advantages"]):
                self._learning = inputs
                loss: Tensor = super()._compute_loss(model, inputs)
                return loss
            zero: Tensor = next(p for p in model.parameters() if p.requires_grad).sum() * 0.0  # a graph for backward()
            return zero

        def _get_per_token_logps_and_entropies(
            self, model: Any, ids_BT: Tensor, mask_BT: Tensor, kept: int, *args: Any, **kwargs: Any
        ) -> tuple[Any, ...]:
            if self.beta == 0 and not torch.is_grad_enabled():
                zero_BC = mask_BT.new_zeros((len(ids_BT), kept), dtype=torch.float32)
                return zero_BC, None, None  # replaced below
            inherited = super()._get_per_token_logps_and_entropies
            scores: tuple[Any, ...] = inherited(model, ids_BT, mask_BT, kept, *args, **kwargs)
            if self.beta == 0 and "old_logps" in self._learning:
                # RLOO divides by the probability under the policy that sampled, which is this one
                logps_B = (scores[0].detach() * self._learning["completion_mask"]).sum(1)
                self._learning["old_logps"] = logps_B
            return scores

    return Compact


def compact_batches(batches: Sequence[Batch], *, anchored: bool) -> list[Batch]:
    """The same sequences in as many micro-batches of the same size, some of them empty.

    A micro-batch is empty or whole: one of the last that teach is filled up by others, because RLOO's loss
    is a mean over a micro-batch's sequences.

    Args:
        batches: of one step; [B, T] tensors of prompts padded on the left and completions padded on the
            right, [B] tensors, and scalars.
        anchored: the loss has a term of the reference, to which every sequence adds.
    """
    size = len(batches[0]["advantages"])
    whole = {
        name: torch.cat([batch[name] for batch in batches]) if value.ndim else value
        for name, value in batches[0].items()
    }
    teaches_B = torch.ones_like(whole["advantages"]) if anchored else whole["advantages"] != 0
    lengths_B = whole["completion_mask"].sum(1)
    order = sorted(range(len(lengths_B)), key=lambda i: (not teaches_B[i], int(lengths_B[i])))
    taught = int(teaches_B.sum())
    return [
        _trimmed(_rows(whole, torch.tensor(order[start : start + size] if start < taught else [])))
        for start in range(0, len(order), size)
    ]


def _rows(batch: Batch, rows_N: Tensor) -> Batch:
    rows_N = rows_N.long()
    return {name: value[rows_N] if value.ndim else value for name, value in batch.items()}


def _trimmed(batch: Batch) -> Batch:
    """Without columns that are padding in every row."""
    if not len(batch["advantages"]):
        return batch
    prompt, completion = (int(batch[f"{of}_mask"].sum(1).max()) for of in ("prompt", "completion"))

    def cut(name: str, value: Tensor) -> Tensor:
        if value.ndim < 2:
            return value
        return value[:, -prompt:] if name in PROMPT else value[:, :completion]

    return {name: cut(name, value) for name, value in batch.items()}


def _lengths(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch["prompt_mask"].sum(1).tolist(), batch["completion_mask"].sum(1).tolist(), strict=True))
