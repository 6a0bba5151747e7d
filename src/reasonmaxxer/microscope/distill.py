"""Distilling a tuned model into small adapters of its base: how few parameters hold what it learnt.

Students are low-rank adapters of the base that learn to say what the teacher says. They train as the method's adapters
do (`method/packed.py`, `method/fit.py`), on another loss.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from reasonmaxxer.artifacts import schema
from reasonmaxxer.config import AdapterConfig, DistillationConfig, ShapeConfig, TrainingConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.method.data import Member, PackedCollator
from reasonmaxxer.method.fit import FitArguments, History, fit, planned_steps, trainer_arguments
from reasonmaxxer.method.packed import PackedArguments, PackedTrainer
from reasonmaxxer.microscope.opinions import Opinions, distillation_loss, joined
from reasonmaxxer.models.states import Tokens

Rows = list[dict[str, Any]]
SHARED = (
    "learning_rate", "weight_decay", "max_grad_norm", "epochs", "batch_size", "micro_batch_size", "max_length",
    "gradient_checkpointing",
)  # fmt: skip
"""Settings that a distillation hands on to the training of a student as they are."""
_METRICS = ("loss", "grad_norm", "learning_rate")
HISTORY = schema({"step": pa.int32(), **dict.fromkeys(_METRICS, pa.float64())}, nullable=_METRICS)


class DistillationCollator(PackedCollator):
    """Lists the hidden states that predict completions, and what the teacher says there.

    A sequence also has `opinions`, the teacher's of its completion.
    """

    def targets(self, members: Sequence[Member]) -> dict[str, Tensor]:
        """What a row whose completions have N tokens is trained towards:

        - `index` int64 [N]: place in the row whose hidden state predicts each of them
        - `weight` float32 [N]: one over the tokens of its completion
        - `top_ids` int32 [N, K], `top_logprobs` [N, K] and `rest_logprob` [N], float32: the teacher's
          most likely tokens, and all others together
        """
        kept = [len(member.places) - member.start for member in members]
        teacher = joined([m.sequence["opinions"].at(slice(n)) for m, n in zip(members, kept, strict=True)])
        places = np.concatenate([member.places[member.start - 1 : -1] for member in members])
        weights = np.concatenate([np.full(n, 1 / max(1, n), np.float32) for n in kept])
        return {
            "index": torch.from_numpy(places),
            "weight": torch.from_numpy(weights),
            "top_ids": teacher.ids_NK,
            "top_logprobs": teacher.logprob_NK,
            "rest_logprob": teacher.rest_N,
        }


class DistillationTrainer(PackedTrainer):
    """Minimises the mean over sequences of the mean over a completion of KL(teacher || student)."""

    def row_loss(self, model: Any, row: dict[str, Any], sequences: Tensor | int) -> Tensor:
        """A row's part of the loss of one optimiser step (arXiv 2605.06241, Eq. 4)."""
        loss, _ = distillation_loss(
            self.head,
            self.hidden(model, row)[row["index"]],
            Opinions(row["top_ids"], row["top_logprobs"], row["rest_logprob"]),
            row["weight"] / sequences,
            [weight for weight in self.head.projection.parameters() if weight.requires_grad],
        )
        return loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Without the head's own weights, which PEFT puts beside an adapter on the head."""
        weights = (state_dict or self.model.state_dict()).items()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting `save_embedding_layers`")
            super()._save(output_dir, {name: w for name, w in weights if "lora_" in name})


def student_rows(sequences: Sequence[Tokens], opinions: Sequence[Opinions]) -> Rows:
    """Rows for `DistillationTrainer`: each sequence with the teacher's opinions of it."""
    return [
        {"prompt_ids": sequence.prompt_ids, "completion_ids": sequence.completion_ids, "opinions": own}
        for sequence, own in zip(sequences, opinions, strict=True)
    ]


def student_training(config: DistillationConfig, shape: ShapeConfig, sequences: int) -> TrainingConfig:
    """Adapter and optimiser of a student that learns from so many sequences."""
    training = TrainingConfig(
        adapter=AdapterConfig(
            rank=shape.rank,
            alpha=config.alpha_per_rank * shape.rank,
            dropout=config.dropout,
            target_modules=shape.modules,
        ),
        checkpoints=max(1, math.ceil(config.epochs)),
        **{name: getattr(config, name) for name in SHARED},
    )
    warmup = math.ceil(config.warmup_share * planned_steps(sequences, training))
    return training.model_copy(update={"warmup_steps": warmup})


def train_student(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], config: TrainingConfig, fitting: FitArguments
) -> History:
    """Train the model's adapter in place; checkpoints go to `fitting.folder/checkpoint-STEP`.

    Args:
        model: the base with a fresh adapter.
        tokenizer: saved beside checkpoints.
        rows: of `student_rows`.
        config: of `student_training`.
        fitting: folder, seed and callbacks.

    Returns:
        One row of metrics an optimiser step: `step`, `loss` (nats), `grad_norm`, `learning_rate`.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    steps = planned_steps(len(rows), config)
    arguments = PackedArguments(**trainer_arguments(config, model, steps, fitting), num_train_epochs=config.epochs)
    collator = DistillationCollator(config.max_length, device=arguments.device.type)
    trainer = DistillationTrainer(model, arguments, collator, rows, processing_class=tokenizer)
    return fit(trainer, fitting)


def history_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Training metrics of a student, one row an optimiser step."""
    return pa.Table.from_pylist(list(rows), schema=HISTORY)


def parameter_counts(model: Any) -> tuple[int, float]:
    """Weights of the model's adapter, and their share of those of its base."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    return trained, trained / (every - trained)


def check_shapes(model: Any, shapes: Sequence[ShapeConfig]) -> None:
    """Refuse shapes that the base has no modules for.

    Raises:
        UserError: no linear layer has the name of a module.
    """
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    known = sorted({name.rpartition(".")[2] for name in layers})
    for shape in shapes:
        for module in shape.modules:
            if not any(f".{name}".endswith(f".{module}") for name in layers):
                raise UserError(
                    f"shapes: the base has no linear layer '{module}'.{did_you_mean(module, known)} "
                    f"Its linear layers: {', '.join(known)}."
                )
