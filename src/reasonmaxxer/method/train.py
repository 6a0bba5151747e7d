"""One adapter for one gate: trained with durable checkpoints, taken up where it was killed."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from peft import LoraConfig, get_peft_model
from transformers.trainer_utils import set_seed

from reasonmaxxer.artifacts import schema
from reasonmaxxer.config import AdapterConfig, TrainingConfig
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.data import training_rows
from reasonmaxxer.method.fit import FitArguments, History, fit, planned_steps, trainer_arguments
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.order import group_order
from reasonmaxxer.method.packed import remove_dropout
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from reasonmaxxer.models.packing import pack
from reasonmaxxer.models.targets import target_names

METRICS = (
    "loss", "grad_norm", "learning_rate", "kl", "delta_logprob_positive", "delta_logprob_negative", "reward",
    "entropy", "completion_length",
)  # fmt: skip
HISTORY = schema(
    {**dict.fromkeys(("round", "gate", "step"), pa.int32()), **dict.fromkeys(METRICS, pa.float64())}, nullable=METRICS
)


def add_adapter(model: Any, config: AdapterConfig, seed: int) -> Any:
    """Wrap a base model with a fresh LoRA adapter, its initial weights fixed by the seed.

    Raises:
        UserError: a target module that the model does not have.
    """
    set_seed(seed)
    remove_dropout(model)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=target_names(model, config.target_modules),
    )
    return get_peft_model(model, lora)


def training_layout(examples: Sequence[Example], config: TrainingConfig, seed: int, device: str) -> list[list[int]]:
    """Tokens of the prompt and of each completion of every stem that one epoch reads on a type of device, in order."""
    order = group_order([e.prompt_ids for e in examples], [e.advantage for e in examples], seed)
    sequences = [(examples[i].prompt_ids, examples[i].completion_ids) for i in order]
    batches = [sequences[at : at + config.micro_batch_size] for at in range(0, len(order), config.micro_batch_size)]
    return [sizes for batch in batches for row in pack(batch, device) for sizes in row.layout]


def train_adapter(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    gate: Gate,
    config: TrainingConfig,
    fitting: FitArguments,
    base_states: BaseStates | None = None,
) -> History:
    """Train the model's adapter in place; checkpoints go to `fitting.folder/checkpoint-STEP`.

    Args:
        model: a model with a fresh adapter.
        tokenizer: gives the padding id.
        examples: what teaches.
        gate: where it teaches.
        config: loss and optimiser.
        fitting: folder, seed and callbacks.
        base_states: shared by the gates of a sweep.

    Returns:
        One row of metrics an optimiser step: `step`, `loss`, `grad_norm`, `learning_rate`, `kl`,
        `delta_logprob_positive`, `delta_logprob_negative`.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    arguments = ReasonMaxxerConfig(
        **trainer_arguments(config, model, planned_steps(len(examples), config), fitting),
        num_train_epochs=config.epochs,
        anchor_weight=config.anchor_weight,
        anchor_positions=config.anchor_positions,
        objective=config.objective,
        negative_floor=config.negative_floor,
        clip_epsilon=config.clip_epsilon,
        max_length=config.max_length,
    )
    trainer = ReasonMaxxerTrainer(
        model=model,
        args=arguments,
        train_dataset=training_rows(examples, gate),
        processing_class=tokenizer,
        base_states=base_states,
    )
    return fit(trainer, fitting)


def history_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Training metrics, one row an optimiser step."""
    return pa.Table.from_pylist(list(rows), schema=HISTORY)
