"""One training on `transformers.Trainer`, whatever its loss: durable checkpoints, progress, trackers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer import OPTIMIZER_NAME

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.method.checkpoints import checkpoint_record, load_adapter_weights, whole_checkpoints
from reasonmaxxer.method.history import add_progress, start_progress
from reasonmaxxer.method.processes import process_count
from reasonmaxxer.method.trackers import end_trackers, tracker_arguments

History = list[dict[str, Any]]
"""Metrics of a training, one row an optimiser step."""


@dataclass(frozen=True)
class FitArguments:
    """Where a training keeps its files, what fixes its draws, and who follows it.

    Attributes:
        folder: of the checkpoints; one that holds some is taken up from the last whole one.
        seed: fixes the order of sequences, and what dropout drops.
        start: checkpoint of an earlier training, whose adapter and moments of the optimiser this one goes on with.
        events: where TensorBoard's event files go, `RUN/tensorboard/GATE`; none is `folder`.
        on_step: called with the steps done so far.
        on_checkpoint: called with the path of the record that is about to make a checkpoint whole; returns what goes
            into it. None keeps it empty.
    """

    folder: Path
    seed: int
    start: Path | None = None
    events: Path | None = None
    on_step: Callable[[int], None] | None = None
    on_checkpoint: Callable[[Path], dict[str, Any]] | None = None


def planned_steps(sequences: int, config: TrainingConfig) -> int:
    """Optimiser steps of a training on so many sequences."""
    per_epoch = math.ceil(sequences / config.batch_size)
    return max(1, math.ceil(per_epoch * config.epochs))


def trainer_arguments(config: TrainingConfig, model: Any, steps: int, fitting: FitArguments) -> dict[str, Any]:
    """What every trainer of an adapter is told alike, as keywords of `TrainingArguments`.

    Args:
        config: optimiser, batches, checkpoints and trackers.
        model: with its adapter.
        steps: optimiser steps of the whole training.
        fitting: folder and seed.
    """
    share = config.batch_size // process_count()
    batch = math.gcd(share, config.micro_batch_size)
    return {
        "output_dir": str(fitting.folder),
        **{key: getattr(config, key) for key in ("learning_rate", "weight_decay", "max_grad_norm")},
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": 0 if fitting.start else config.warmup_steps,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": share // batch,
        "gradient_checkpointing": config.gradient_checkpointing or None,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": math.ceil(steps / config.checkpoints),
        "bf16": model.dtype == torch.bfloat16,  # products of the adapter; its weights stay float32
        "use_cpu": model.device.type == "cpu",
        "dataloader_pin_memory": model.device.type == "cuda",
        "disable_tqdm": True,
        "seed": fitting.seed,
        "data_seed": fitting.seed,
        **tracker_arguments(config.report_to, fitting.events or fitting.folder),
    }


def fit(trainer: Any, fitting: FitArguments) -> History:
    """Train, from the last whole checkpoint if there is one.

    Args:
        trainer: a `transformers.Trainer` made with `trainer_arguments`.
        fitting: folder and callbacks.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    trainer.add_callback(_Watch(fitting))
    trainer.remove_callback(PrinterCallback)
    whole = whole_checkpoints(fitting.folder)
    if fitting.start and not whole:
        _go_on(trainer, fitting.start)
    if whole and len(trainer.model.peft_config) > 1:
        # beside TRL's adapter of the reference, transformers before 5.23 leaves out the one in training
        load_adapter_weights(trainer.model, whole[-1])
    # PEFT would turn what an adapter reads into the type of its weights, and autocast that back into the
    # type of its products
    with disable_input_dtype_casting(trainer.model, trainer.args.bf16):
        trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    end_trackers(trainer.args.report_to)
    return [row for row in trainer.state.log_history if "loss" in row]


def _go_on(trainer: Any, start: Path) -> None:
    """Begin with the adapter and the optimiser's moments of an earlier training, not with its rate."""
    load_adapter_weights(trainer.model, start)
    optimizer = trainer.create_optimizer()
    moments = torch.load(start / OPTIMIZER_NAME, map_location="cpu", weights_only=True)["state"]
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Tells of steps, metrics and checkpoints, and stops on a loss that is not finite."""

    def __init__(self, fitting: FitArguments) -> None:
        self.fitting = fitting

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            rows = (row for row in state.log_history if "loss" in row)
            start_progress(self.fitting.folder, ({**row, "steps": state.max_steps} for row in rows))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.fitting.on_step:
            self.fitting.on_step(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            path = checkpoint_record(self.fitting.folder, state.global_step)
            write_json(self.fitting.on_checkpoint(path) if self.fitting.on_checkpoint else {}, path)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(float(logs["loss"])):
            raise FloatingPointError(f"The loss is {logs['loss']} at step {state.global_step}.")
        if state.is_world_process_zero:
            add_progress(self.fitting.folder, {**logs, "step": state.global_step, "steps": state.max_steps})
