"""Learning from the rollouts that ReasonMaxxer learns from, without its loss: SFT, DPO and KTO.

- SFT on correct rollouts: rejection sampling (arXiv 2308.01825)
- DPO on pairs of a correct and a wrong rollout of one problem (arXiv 2305.18290)
- KTO on the same rollouts without pairs (arXiv 2402.01306)

TRL has the losses; the token ids are those that were sampled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reasonmaxxer.baselines.trl import import_trl
from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.train import OnCheckpoint, fit, trainer_arguments

Rows = list[dict[str, Any]]
Attempt = TypeVar("Attempt")


def offline_rows(examples: Sequence[Example], config: TrainingConfig, seed: int) -> Rows:
    """What `config.method` learns from.

    Args:
        examples: of the signal stage; a positive advantage is a correct rollout.
        config: names the method.
        seed: of the order of `kto`, and of which rollouts make a pair of `dpo`.

    Returns:
        Rows of TRL's tokenised data sets: `input_ids` and `labels` (sft), `prompt_ids`, `chosen_ids`
        and `rejected_ids` (dpo), or `prompt_ids`, `completion_ids`, `KL_completion_ids` and `label`
        (kto).

    Raises:
        UserError: nothing is left to learn from.
    """
    make = {"sft": _correct, "dpo": _pairs, "kto": _unpaired}[config.method]
    rows = make(examples, config, np.random.Generator(np.random.Philox(seed)))
    if not rows:
        raise UserError(f"training.method = '{config.method}' finds no rollouts to learn from.")
    return rows


def train_offline(
    model: Any,
    tokenizer: Any,
    rows: Rows,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    events: Path | None = None,
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Train the model's adapter in place by `config.method`, `sft`, `dpo` or `kto`.

    A folder that already holds checkpoints is taken up from the last whole one.

    Args:
        model: with a fresh adapter.
        tokenizer: gives the padding id.
        rows: of `offline_rows`.
        config: optimiser, epochs, checkpoints.
        seed: fixes the order of rows of `sft` and `dpo`, another in every epoch; those of `kto` are read as
            they lie, alike in every epoch.
        folder: of the checkpoints.
        events: where TensorBoard's event files go; none is `folder`.
        on_step: called with the steps done so far.
        on_checkpoint: called with the record of each checkpoint, to be returned.

    Returns:
        One row a step: `step`, `loss`, `grad_norm`, `learning_rate`, and what else TRL logs.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    trl = import_trl()
    from datasets import Dataset

    class DPO(trl.DPOTrainer):  # type: ignore[misc, name-defined]
        def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
            return dataset  # TRL would make ids of text, which need not be those that were sampled

    class KTO(trl.KTOTrainer):  # type: ignore[misc, name-defined]
        def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
            return dataset

    trainer, settings = {
        "sft": (trl.SFTTrainer, trl.SFTConfig),
        "dpo": (DPO, trl.DPOConfig),
        "kto": (KTO, trl.KTOConfig),
    }[config.method]
    extra: dict[str, Any] = {"beta": config.baseline.beta}
    if config.method == "sft":
        extra = {"dataset_kwargs": {"skip_prepare_dataset": True}}
    if config.method == "kto":
        extra |= _balance(rows)
    steps = offline_steps(len(rows), config)
    arguments = settings(
        **trainer_arguments(config, model, steps, seed=seed, folder=folder),
        **extra,
        max_steps=steps,
        max_length=config.max_length,
    )
    made = trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    return fit(made, config, folder, events, on_step, on_checkpoint)


def offline_steps(rows: int, config: TrainingConfig) -> int:
    """Optimiser steps of so many rows."""
    return max(1, int(np.ceil(np.ceil(rows / config.batch_size) * config.epochs)))


def _correct(examples: Sequence[Example], config: TrainingConfig, random: np.random.Generator) -> Rows:
    kept = slice(config.max_length)
    return [
        {
            "input_ids": (e.prompt_ids + e.completion_ids)[kept],
            "labels": ([-100] * len(e.prompt_ids) + e.completion_ids)[kept],
        }
        for e in examples
        if e.advantage > 0 and len(e.prompt_ids) < config.max_length
    ]


def _pairs(examples: Sequence[Example], config: TrainingConfig, random: np.random.Generator) -> Rows:
    """Every rollout is in a pair; those of the smaller side are in several."""
    groups: dict[str, tuple[list[Example], list[Example]]] = defaultdict(lambda: ([], []))
    for example in examples:
        groups[example.problem_id][example.advantage < 0].append(example)
    rows = []
    for right, wrong in groups.values():
        if not right or not wrong:  # the other side was trimmed away
            continue
        rows += [
            {"prompt_ids": a.prompt_ids, "chosen_ids": a.completion_ids, "rejected_ids": b.completion_ids}
            for a, b in pair_up(right, wrong, random)
        ]
    return rows


def pair_up(
    right: Sequence[Attempt], wrong: Sequence[Attempt], random: np.random.Generator
) -> list[tuple[Attempt, Attempt]]:
    """Pairs of one of each side, neither of them empty: as many as the larger side has, drawn by chance."""
    count = max(len(right), len(wrong))
    chosen, rejected = (
        [side[int(i)] for i in np.resize(random.permutation(len(side)), count)] for side in (right, wrong)
    )
    return list(zip(chosen, rejected, strict=True))


def _unpaired(examples: Sequence[Example], config: TrainingConfig, random: np.random.Generator) -> Rows:
    """Rows in the order they are trained in, which TRL keeps for KTO, in every epoch.

    KTO's KL is estimated with the completion of the row before, for the first row of a forward pass with
    that of its last. Shuffled once, so that a prompt seldom meets a completion of its own problem.
    """
    order = [examples[i] for i in random.permutation(len(examples))]
    size = config.micro_batch_size
    order = order[: len(order) - (len(order) % size == 1)]  # one alone has no other's completion
    rows = []
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        rows += [
            {
                "prompt_ids": e.prompt_ids,
                "completion_ids": e.completion_ids,
                "KL_completion_ids": batch[i - 1].completion_ids,
                "label": e.advantage > 0,
            }
            for i, e in enumerate(batch)
        ]
    return rows


def _balance(rows: Rows) -> dict[str, float]:
    """Weights with which right and wrong weigh the same (arXiv 2402.01306, Eq. 8)."""
    right = sum(row["label"] for row in rows)
    wrong = len(rows) - right
    return {"desirable_weight": max(1.0, wrong / max(1, right)), "undesirable_weight": max(1.0, right / max(1, wrong))}
