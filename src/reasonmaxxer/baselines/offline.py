"""Learning from the rollouts that ReasonMaxxer learns from, without its loss: SFT, DPO and KTO.

- SFT on correct rollouts: rejection sampling (arXiv 2308.01825)
- DPO on pairs of a correct and a wrong rollout of one problem (arXiv 2305.18290)
- KTO on the same rollouts without pairs (arXiv 2402.01306)

TRL has the losses; the token ids are those that were sampled.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from reasonmaxxer.baselines.batches import Lengths
from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.fit import FitArguments, History, fit, planned_steps, trainer_arguments
from reasonmaxxer.method.selection import Example

Rows = list[dict[str, Any]]
Attempt = TypeVar("Attempt")
IGNORED = -100
"""Label of a token that is not learnt."""


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


def train_offline(model: Any, tokenizer: Any, rows: Rows, config: TrainingConfig, fitting: FitArguments) -> History:
    """Train the model's adapter in place by `config.method`, `sft`, `dpo` or `kto`.

    Args:
        model: with a fresh adapter.
        tokenizer: gives the padding id.
        rows: of `offline_rows`.
        config: optimiser, epochs, checkpoints.
        fitting: folder, seed and callbacks. The seed fixes the order of rows of `sft` and `dpo`, another in every
            epoch; those of `kto` are read as they lie, alike in every epoch.

    Returns:
        One row a step: `step`, `loss`, `grad_norm`, `learning_rate`, and what else TRL logs.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    import trl
    from datasets import Dataset

    name = config.method.upper()
    steps = planned_steps(len(rows), config)
    arguments = {
        **trainer_arguments(config, model, steps, fitting),
        "max_steps": steps,
        "max_length": config.max_length,
    }
    if config.method == "sft":
        arguments["dataset_kwargs"] = {"skip_prepare_dataset": True}
    else:
        arguments["beta"] = config.baseline.beta
    if config.method == "kto":
        arguments |= _balance(rows)

    class Trainer(getattr(trl, f"{name}Trainer")):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *arguments: Any) -> Any:
            return dataset  # TRL would make ids of text, which need not be those that were sampled

    trainer = Trainer(
        model=model,
        args=getattr(trl, f"{name}Config")(**arguments),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    return fit(trainer, fitting)


def learnt_lengths(row: dict[str, Any]) -> Lengths:
    """Tokens of prompt and completion of every sequence of a row that is learnt from."""
    if "labels" in row:
        prompt = sum(label == IGNORED for label in row["labels"])
        return [(prompt, len(row["labels"]) - prompt)]
    names = ("chosen_ids", "rejected_ids", "completion_ids")
    return [(len(row["prompt_ids"]), len(row[name])) for name in names if name in row]


def mismatched_lengths(row: dict[str, Any]) -> Lengths:
    """Likewise of the sequence that both models read beside them, with a completion of another prompt (`kto`)."""
    name = "KL_completion_ids"
    return [(len(row["prompt_ids"]), len(row[name]))] if name in row else []


def _correct(examples: Sequence[Example], config: TrainingConfig, random: np.random.Generator) -> Rows:
    kept = slice(config.max_length)
    return [
        {
            "input_ids": (e.prompt_ids + e.completion_ids)[kept],
            "labels": ([IGNORED] * len(e.prompt_ids) + e.completion_ids)[kept],
        }
        for e in examples
        if e.advantage > 0 and len(e.prompt_ids) < config.max_length
    ]


def _pairs(examples: Sequence[Example], config: TrainingConfig, random: np.random.Generator) -> Rows:
    """Every rollout is in a pair; those of the smaller side are in several."""
    groups: dict[str, tuple[list[Example], list[Example]]] = defaultdict(lambda: ([], []))
    for example in examples:
        groups[example.problem_id][example.advantage < 0].append(example)
    return [
        {"prompt_ids": a.prompt_ids, "chosen_ids": a.completion_ids, "rejected_ids": b.completion_ids}
        for right, wrong in groups.values()
        if right and wrong  # or the other side was trimmed away
        for a, b in pair_up(right, wrong, random)
    ]


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
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [
        {
            "prompt_ids": e.prompt_ids,
            "completion_ids": e.completion_ids,
            "KL_completion_ids": batch[i - 1].completion_ids,
            "label": e.advantage > 0,
        }
        for batch in batches
        for i, e in enumerate(batch)
    ]


def _balance(rows: Rows) -> dict[str, float]:
    """Weights with which right and wrong weigh the same (arXiv 2402.01306, Eq. 8)."""
    right = sum(row["label"] for row in rows)
    wrong = len(rows) - right
    return {"desirable_weight": max(1.0, wrong / max(1, right)), "undesirable_weight": max(1.0, right / max(1, wrong))}
