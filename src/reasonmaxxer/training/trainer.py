"""`ReasonMaxxerTrainer`: the ReasonMaxxer loss on `transformers.Trainer`.

    trainer = ReasonMaxxerTrainer(
        model=model,
        args=ReasonMaxxerConfig(output_dir="out"),
        train_dataset=training_rows(examples, gate),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=32, lora_alpha=64, target_modules=["q_proj", "v_proj"]),
    )
    trainer.train()

Checkpoints, exact resume, trackers (`report_to`), gradient checkpointing and several devices are
those of `transformers.Trainer` and accelerate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from peft import PeftModel, get_peft_model
from torch import Tensor
from transformers import Trainer, TrainingArguments

from reasonmaxxer.errors import UserError
from reasonmaxxer.models import OutputHead, decoder
from reasonmaxxer.models.attention import use_attention
from reasonmaxxer.models.masks import attention_masks
from reasonmaxxer.training.base_states import BaseStates
from reasonmaxxer.training.data import Collator, visible
from reasonmaxxer.training.loss import Anchors, Decisions, anchor_loss, decision_loss
from reasonmaxxer.training.packing import group_order


@dataclass
class ReasonMaxxerConfig(TrainingArguments):  # type: ignore[misc]
    """`TrainingArguments` with the knobs of the loss; defaults are the paper's, Section 5.

    Attributes:
        anchor_weight: lambda, weight of the anchor.
        anchor_positions: `all` or `completion`.
        negative_floor: a wrong rollout's token below this probability is pushed no further; the
            paper has 0, none.
        max_length: tokens a sequence keeps, cut on the right.
    """

    anchor_weight: float = field(default=0.2)
    anchor_positions: Literal["all", "completion"] = field(default="all")
    negative_floor: float = field(default=1e-4)
    max_length: int = field(default=8192)

    learning_rate: float = field(default=1e-4)
    per_device_train_batch_size: int = field(default=1)
    gradient_accumulation_steps: int = field(default=8)
    num_train_epochs: float = field(default=1.0)
    warmup_steps: float = field(default=50)
    logging_steps: float = field(default=1)
    seed: int = field(default=42)

    def __post_init__(self) -> None:
        self.remove_unused_columns = False  # rows are not a model's keyword arguments
        self.logging_nan_inf_filter = False  # a broken loss must be seen
        super().__post_init__()


class ReasonMaxxerTrainer(Trainer):  # type: ignore[misc]
    """Trains an adapter at decision points and anchors it to its base everywhere else.

    The base is the same model with its adapter switched off; there is no second copy.

    Args:
        model: a causal LM, or one that already carries an adapter.
        args: the configuration.
        train_dataset: rows as `Collator` takes them; those of advantage zero are left out.
        processing_class: the tokenizer, saved beside checkpoints.
        peft_config: adapter to add to a bare model.
        base_states: shared by trainers that see the same batches; none keeps its own
            where there are several epochs.
        **kwargs: passed to `transformers.Trainer`.

    Raises:
        UserError: a bare model without `peft_config`, an adapted output head, an empty data set, or
            rows whose advantages are all zero.
    """

    loss_is_scaled_for_ga = True  # compute_loss divides by all sequences of the step itself

    def __init__(
        self,
        model: Any,
        args: ReasonMaxxerConfig,
        train_dataset: Sequence[dict[str, Any]],
        processing_class: Any = None,
        peft_config: Any = None,
        base_states: BaseStates | None = None,
        **kwargs: Any,
    ) -> None:
        _check_rows(train_dataset)
        train_dataset = [row for row in train_dataset if row["advantage"] != 0]
        if peft_config is not None:
            model = get_peft_model(model, peft_config)
        if not isinstance(model, PeftModel):
            raise UserError("ReasonMaxxerTrainer trains an adapter: pass peft_config.")
        self.head = OutputHead(model)
        if any(p.requires_grad for p in model.get_output_embeddings().parameters()):
            raise UserError("The output head must stay frozen: take lm_head off target_modules.")
        collator = Collator(args.max_length, args.anchor_positions)
        self.base_states = base_states or (BaseStates() if args.num_train_epochs > 1 else None)
        self._metrics: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            processing_class=processing_class,
            **kwargs,
        )

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of a batch of `Collator`, row by row: memory is that of one row."""
        *first, last = inputs["rows"]
        step = partial(super().training_step, model, num_items_in_batch=num_items_in_batch)
        losses = []
        for row in first:
            with self.accelerator.no_sync(model):
                losses.append(step(row))
        return torch.stack([*losses, step(last)]).sum()

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Of a batch, as `Trainer` estimates them for its logs."""
        return sum(super(ReasonMaxxerTrainer, self).floating_point_ops(r) for r in inputs["rows"])

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """A row's part of the mean of the per-sequence losses of one optimiser step (Eq. 6 and 7).

        Args:
            model: the adapted model, perhaps wrapped by accelerate.
            inputs: a row of a batch of `Collator`.
            return_outputs: also return an empty output, as `Trainer` asks.
            num_items_in_batch: sequences of the whole step over all processes; none counts the row's.
        """
        sequences = len(inputs["advantage"]) if num_items_in_batch is None else num_items_in_batch
        base_ND = self._base_hidden(inputs)
        unwrapped = self.accelerator.unwrap_model(model)
        hidden_ND = _hidden(model, unwrapped, inputs)
        decisions = Decisions(
            hidden_ND=hidden_ND[inputs["decision_index"]],
            target_N=inputs["decision_target"],
            advantage_N=inputs["decision_advantage"],
            weight_N=inputs["decision_weight"] / sequences,
        )
        loss, logprob_N = decision_loss(self.head, decisions, self.args.negative_floor)
        kl_N = None
        if base_ND is not None:
            index_N = inputs["anchor_index"]
            anchors = Anchors(
                hidden_ND=hidden_ND[index_N],
                base_hidden_ND=base_ND[index_N],
                weight_N=inputs["anchor_weight"] * (self.args.anchor_weight / sequences),
            )
            anchor, kl_N = anchor_loss(self.head, anchors)
            loss = loss + anchor
        self._record(inputs, logprob_N, kl_N)
        # accelerate averages gradients over processes; the sum over sequences is what is meant
        loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    @torch.no_grad()
    def _base_hidden(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Final hidden states [T, D] with the adapter off, computed once for each row."""
        if self.args.anchor_weight == 0:
            return None
        kept = self.base_states.get(inputs) if self.base_states else None
        if kept is not None:
            return kept
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        with model.disable_adapter():
            hidden_ND = _hidden(model, model, inputs)
        model.train(training)
        if self.base_states:
            self.base_states.keep(inputs, hidden_ND)
        return hidden_ND

    @torch.no_grad()
    def _record(self, inputs: dict[str, Tensor], logprob_N: Tensor, kl_N: Tensor | None) -> None:
        """Keep metrics on the device until they are logged: reading one waits for it."""
        change_N = logprob_N - inputs["base_logprob"]
        for name, side in (("positive", 1), ("negative", -1)):
            chosen_N = (inputs["decision_advantage"] * side > 0) & ~change_N.isnan()
            total = change_N.masked_fill(~chosen_N, 0.0).sum()
            self._metrics[f"delta_logprob_{name}"].append((total, chosen_N.sum()))
        if kl_N is not None:
            weight_N = inputs["anchor_weight"]
            self._metrics["kl"].append(((kl_N * weight_N).sum(), weight_N.sum()))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss's own metrics since the last log."""
        if "loss" in logs:
            for name, parts in self._metrics.items():
                total, count = (float(sum(column)) for column in zip(*parts, strict=True))
                if count:
                    logs = {**logs, name: total / count}
            self._metrics.clear()
        super().log(logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Shuffled by seed but for runs of sequences of one problem, alike every epoch.

        A prompt is then read once for a run, and by the base once for all epochs.
        """
        rows = train_dataset if train_dataset is not None else self.train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        prompts, advantages = ([row[key] for row in rows] for key in ("prompt_ids", "advantage"))
        return group_order(prompts, advantages, seed)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Tensor:
        """Sequences of an optimiser step over all micro-batches and processes."""
        count = torch.tensor(sum(len(b["advantage"]) for b in batch_samples), device=device)
        total: Tensor = self.accelerator.gather(count).sum()
        return total


def _hidden(model: Any, unwrapped: Any, row: dict[str, Any]) -> Tensor:
    """Final hidden states [T, D], caught on their way to a head that is asked for no position."""
    caught: list[Tensor] = []
    hook = decoder(unwrapped).register_forward_hook(
        lambda _module, _args, output: caught.append(output[0])
    )
    try:
        model(
            input_ids=row["input_ids"],
            position_ids=row["position_ids"],
            use_cache=False,
            logits_to_keep=row["input_ids"].new_empty(0),
            **_attention(unwrapped, row),
        )
    finally:
        hook.remove()
    return caught[0][0]


def _attention(model: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the model's forward that keep the sequences of a row apart."""
    if use_attention(model):
        # four dimensions, so that the model makes no mask of its own
        unused = row["input_ids"].new_ones(1, 1, 1, 1, dtype=torch.bool)
        return {"attention_mask": unused, "layout": row["layout"]}
    if [len(stem) for stem in row["layout"]] == [2]:  # a sequence alone: plain causal attention
        return {"attention_mask": torch.ones_like(row["input_ids"])}
    allowed_1TT, distance_1TT = visible(row["layout"], row["position_ids"])
    return {"attention_mask": attention_masks(model, allowed_1TT, distance_1TT)}


def _check_rows(rows: Sequence[dict[str, Any]]) -> None:
    if not len(rows):
        raise UserError("train_dataset is empty: no rollout has an advantage other than zero.")
    missing = {"prompt_ids", "completion_ids", "advantage", "decision"} - set(rows[0])
    if missing:
        raise UserError(f"train_dataset lacks {', '.join(sorted(missing))}; see training_rows().")
    if all(row["advantage"] == 0 for row in rows):
        raise UserError("All advantages are zero: no problem is mixed, nothing can be learnt.")
