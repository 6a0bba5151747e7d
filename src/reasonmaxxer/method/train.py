"""One adapter for one gate: trained with durable checkpoints, taken up where it was killed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from peft import LoraConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict
from peft.helpers import disable_input_dtype_casting
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, set_seed

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import AdapterConfig, TrainingConfig
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.data import training_rows
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.history import add_progress, start_progress
from reasonmaxxer.method.order import group_order
from reasonmaxxer.method.processes import process_count
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.trackers import trackers
from reasonmaxxer.method.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.models.cpu.frozen import drop_nothing
from reasonmaxxer.models.packing import Row, pack
from reasonmaxxer.models.targets import target_names

RECORD = "cost.json"
"""File of a checkpoint that is written last and makes it whole; it holds what its maker wants to keep."""
OnCheckpoint = Callable[[Path], dict[str, Any]]
"""Called with the `RECORD` that is about to make a checkpoint whole; returns what goes into it."""
HISTORY = pa.schema(
    [
        pa.field("gate", pa.int32(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        *(
            pa.field(name, pa.float64())
            for name in (
                "loss",
                "grad_norm",
                "learning_rate",
                "kl",
                "delta_logprob_positive",
                "delta_logprob_negative",
                "reward",
                "entropy",
                "completion_length",
            )
        ),
    ]
)


def add_adapter(model: Any, config: AdapterConfig, seed: int) -> Any:
    """Wrap a base model with a fresh LoRA adapter, its initial weights fixed by the seed.

    Raises:
        UserError: a target module that the model does not have.
    """
    set_seed(seed)
    drop_nothing(model)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=target_names(model, config.target_modules),
    )
    return get_peft_model(model, lora)


def planned_steps(sequences: int, config: TrainingConfig) -> int:
    """Optimiser steps of a training run."""
    per_epoch = math.ceil(sequences / config.batch_size)
    return max(1, math.ceil(per_epoch * config.epochs))


def packed_rows(examples: Sequence[Example], config: TrainingConfig, seed: int, device: str) -> list[Row]:
    """The rows that one epoch reads on a type of device, in order."""
    order = group_order([e.prompt_ids for e in examples], [e.advantage for e in examples], seed)
    batches = (
        order[start : start + config.micro_batch_size] for start in range(0, len(order), config.micro_batch_size)
    )
    return [
        row
        for batch in batches
        for row in pack([(examples[i].prompt_ids, examples[i].completion_ids) for i in batch], device)
    ]


def training_layout(examples: Sequence[Example], config: TrainingConfig, seed: int, device: str) -> list[list[int]]:
    """Tokens of the prompt and of each completion of every stem that one epoch reads."""
    return [stem.sizes for row in packed_rows(examples, config, seed, device) for stem in row]


def train_adapter(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    gate: Gate,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    base_states: BaseStates | None = None,
    events: Path | None = None,
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Train the model's adapter in place; checkpoints go to `folder/checkpoint-STEP`.

    A folder that already holds checkpoints is taken up from the last whole one.

    Args:
        model: a model with a fresh adapter.
        tokenizer: gives the padding id.
        examples: what teaches.
        gate: where it teaches.
        config: loss and optimiser.
        seed: fixes the order of sequences.
        folder: of the checkpoints.
        base_states: shared by the gates of a sweep.
        events: where TensorBoard's event files go, if the config reports to it; none is `folder`.
        on_step: called with the steps done so far.
        on_checkpoint: called with the record of each checkpoint, to be returned; none keeps it empty.

    Returns:
        One row of metrics an optimiser step: `step`, `loss`, `grad_norm`, `learning_rate`, `kl`,
        `delta_logprob_positive`, `delta_logprob_negative`.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    arguments = ReasonMaxxerConfig(
        **trainer_arguments(config, model, planned_steps(len(examples), config), seed=seed, folder=folder),
        num_train_epochs=config.epochs,
        anchor_weight=config.anchor_weight,
        anchor_positions=config.anchor_positions,
        negative_floor=config.negative_floor,
        max_length=config.max_length,
    )
    trainer = ReasonMaxxerTrainer(
        model=model,
        args=arguments,
        train_dataset=training_rows(examples, gate),
        processing_class=tokenizer,
        base_states=base_states,
    )
    return fit(trainer, config, folder, events, on_step, on_checkpoint)


def trainer_arguments(config: TrainingConfig, model: Any, steps: int, *, seed: int, folder: Path) -> dict[str, Any]:
    """What every trainer of an adapter is told alike, as keywords of `TrainingArguments`.

    Args:
        config: optimiser, batches and checkpoints.
        model: with its adapter.
        steps: optimiser steps of the whole training.
        seed: fixes the order of sequences.
        folder: of the checkpoints.
    """
    share = config.batch_size // process_count()
    batch = math.gcd(share, config.micro_batch_size)
    return {
        "output_dir": str(folder),
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_steps": config.warmup_steps,
        "max_grad_norm": config.max_grad_norm,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": share // batch,
        "gradient_checkpointing": config.gradient_checkpointing or None,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": math.ceil(steps / config.checkpoints),
        "bf16": model.dtype == torch.bfloat16,  # products of the adapter; its weights stay float32
        "report_to": "none",
        "use_cpu": model.device.type == "cpu",
        "dataloader_pin_memory": model.device.type == "cuda",
        "disable_tqdm": True,
        "seed": seed,
        "data_seed": seed,
    }


def fit(
    trainer: Any,
    config: TrainingConfig,
    folder: Path,
    events: Path | None = None,
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Train, from the last whole checkpoint if there is one; one row of metrics a step.

    Args:
        trainer: a `transformers.Trainer`.
        config: names its trackers.
        folder: of the checkpoints.
        events: where TensorBoard's event files go, if the config reports to it; none is `folder`.
        on_step: called with the steps done so far.
        on_checkpoint: called with the record of each checkpoint, to be returned; none keeps it empty.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    trainer.add_callback(_Watch(folder, on_step, on_checkpoint))
    for tracker in trackers(config.report_to, events or folder):
        trainer.add_callback(tracker)
    trainer.remove_callback(PrinterCallback)
    whole = whole_checkpoints(folder)
    if whole and len(trainer.model.peft_config) > 1:
        # beside TRL's adapter of the reference, transformers before 5.23 leaves out the one in training
        load_adapter_weights(trainer.model, whole[-1])
    # PEFT would turn what an adapter reads into the type of its weights, and autocast that back into the
    # type of its products
    with disable_input_dtype_casting(trainer.model, trainer.args.bf16):
        trainer.train(resume_from_checkpoint=str(whole[-1]) if whole else None)
    return [row for row in trainer.state.log_history if "loss" in row]


def history_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Training metrics, one row an optimiser step."""
    return pa.Table.from_pylist(list(rows), schema=HISTORY)


def whole_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a folder, by step; one cut off by a kill is left out."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=checkpoint_step)
    return [path for path in checkpoints if (path / RECORD).is_file()]


def checkpoint_step(checkpoint: Path) -> int:
    """Optimiser steps behind a checkpoint folder."""
    return int(checkpoint.name.rpartition("-")[2])


def save_adapter(adapter: Path, target: Path, base: LoadedModel) -> None:
    """Copy a checkpoint's adapter to a standard PEFT folder that names its base and the base's revision.

    Args:
        adapter: a checkpoint folder.
        target: the folder to make.
        base: the base model.
    """
    target.mkdir(exist_ok=True)
    shutil.copyfile(adapter / SAFETENSORS_WEIGHTS_NAME, target / SAFETENSORS_WEIGHTS_NAME)
    config = read_json(adapter / CONFIG_NAME)
    config |= {"base_model_name_or_path": base.name, "revision": base.config.revision}
    config["target_modules"].sort()  # PEFT keeps a set, written in any order
    write_json(config, target / CONFIG_NAME)


def load_adapter_weights(model: Any, adapter: Path) -> None:
    """Put a saved adapter's weights into the model's adapter of the same shape."""
    set_peft_model_state_dict(model, load_peft_weights(str(adapter), device=str(model.device)))


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Tells of steps, metrics and checkpoints, and stops on a loss that is not finite."""

    def __init__(
        self, folder: Path, on_step: Callable[[int], None] | None, on_checkpoint: OnCheckpoint | None
    ) -> None:
        self.folder, self.on_step, self.on_checkpoint = folder, on_step, on_checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        rows = (row for row in state.log_history if "loss" in row)
        start_progress(self.folder, ({**row, "steps": state.max_steps} for row in rows))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.on_step:
            self.on_step(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            record = self.folder / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / RECORD
            write_json(self.on_checkpoint(record) if self.on_checkpoint else {}, record)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        if not torch.isfinite(torch.tensor(float(logs["loss"]))):
            raise FloatingPointError(f"The loss is {logs['loss']} at step {state.global_step}.")
        if state.is_world_process_zero:
            add_progress(self.folder, {**logs, "step": state.global_step, "steps": state.max_steps})
