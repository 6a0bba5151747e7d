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

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from accelerate.utils import DistributedType
from peft import PeftModel, get_peft_model
from torch import Tensor

from reasonmaxxer.config import ObjectiveName
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.base_states import BaseStates, as_base
from reasonmaxxer.method.data import Collator
from reasonmaxxer.method.loss import Anchors, Decisions, anchor_loss, decision_loss
from reasonmaxxer.method.objectives import objective_of
from reasonmaxxer.method.packed import PackedArguments, PackedTrainer


@dataclass
class ReasonMaxxerConfig(PackedArguments):
    """`TrainingArguments` with the knobs of the loss; defaults are the paper's, Section 5.

    Attributes:
        anchor_weight: lambda, weight of the anchor.
        anchor_positions: `all` or `completion`.
        objective: what decision points teach, of `objectives.py`.
        negative_floor: of `paper`: a wrong rollout's token below this probability is pushed no further; the
            paper has 0, none.
        clip_epsilon: of `ppo`: how far the ratio of probabilities may go from 1.
        max_length: tokens a sequence keeps, cut on the right.
    """

    anchor_weight: float = field(default=0.2)
    anchor_positions: Literal["all", "completion"] = field(default="all")
    objective: ObjectiveName = field(default="paper")
    negative_floor: float = field(default=1e-4)
    clip_epsilon: float = field(default=0.2)
    max_length: int = field(default=8192)

    learning_rate: float = field(default=1e-4)
    per_device_train_batch_size: int = field(default=1)
    gradient_accumulation_steps: int = field(default=8)
    num_train_epochs: float = field(default=1.0)
    warmup_steps: float = field(default=50)
    logging_steps: float = field(default=1)
    seed: int = field(default=42)


class ReasonMaxxerTrainer(PackedTrainer):
    """Trains an adapter at decision points and anchors it to its base everywhere else.

    The base is the same model with its adapter switched off; there is no second copy.

    Args:
        model: a causal LM, or one that already carries an adapter.
        args: the configuration.
        train_dataset: rows as `Collator` takes them; those of advantage zero are left out.
        processing_class: the tokenizer, saved beside checkpoints.
        peft_config: adapter to add to a plain model.
        base_states: shared by trainers that see the same batches; none keeps its own
            where there are several epochs.
        **kwargs: passed to `transformers.Trainer`.

    Raises:
        UserError: a plain model without `peft_config`, an adapted output head, an empty data set, or
            rows whose advantages are all zero or that lack what the objective needs.
    """

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
        _check_rows(train_dataset, args.objective)
        train_dataset = [row for row in train_dataset if row["advantage"] != 0]
        if peft_config is not None:
            model = get_peft_model(model, peft_config)
        if not isinstance(model, PeftModel):
            raise UserError("ReasonMaxxerTrainer trains an adapter: pass peft_config.")
        if any(p.requires_grad for p in model.get_output_embeddings().parameters()):
            raise UserError("The output head must stay frozen: take lm_head off target_modules.")
        collator = Collator(
            args.max_length,
            args.anchor_positions,
            process=args.process_index,
            processes=args.world_size,
            device=args.device.type,
        )
        self.base_states = base_states or (BaseStates() if args.num_train_epochs > 1 else None)
        self.objective = objective_of(args.objective, args.negative_floor, args.clip_epsilon)
        self._metrics: dict[str, list[Tensor]] = defaultdict(list)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        if self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            self.base_states = None  # all processes gather the base's weights, or none does

    def row_loss(self, model: Any, row: dict[str, Any], sequences: Tensor | int) -> Tensor:
        """A row's part of the mean of the per-sequence losses of one optimiser step (Eq. 6 and 7)."""
        base_ND = self._base_hidden(row)
        hidden_ND = self.hidden(model, row)
        decisions = Decisions(
            hidden_ND=hidden_ND[row["decision_index"]],
            target_N=row["decision_target"],
            advantage_N=row["decision_advantage"],
            base_logprob_N=row["base_logprob"],
            weight_N=row["decision_weight"] / sequences,
        )
        loss, logprob_N = decision_loss(self.head, decisions, self.objective)
        kl_N = None
        if base_ND is not None:
            index_N = row["anchor_index"]
            anchors = Anchors(
                hidden_ND=hidden_ND[index_N],
                base_hidden_ND=base_ND[index_N],
                weight_N=row["anchor_weight"] * (self.args.anchor_weight / sequences),
            )
            anchor, kl_N = anchor_loss(self.head, anchors)
            loss = loss + anchor
        self._record(row, logprob_N, kl_N)
        return loss

    def _base_hidden(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Final hidden states [T, D] with the adapter off, computed once for each row."""
        if self.args.anchor_weight == 0:
            return None
        kept = self.base_states.get(inputs) if self.base_states else None
        if kept is not None:
            return kept
        model = self.accelerator.unwrap_model(self.model)
        with as_base(model):
            hidden_ND = self.hidden(model, inputs)
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
            self._metrics[f"delta_logprob_{name}"].append(torch.stack([total, chosen_N.sum()]))
        if kl_N is not None:
            weight_N = inputs["anchor_weight"]
            parts = torch.stack([(kl_N * weight_N).sum(), weight_N.sum()])
            self._metrics["kl"].append(parts)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss's own metrics since the last log, over all processes."""
        if "loss" in logs:
            for name, parts in self._metrics.items():
                total, count = self.accelerator.reduce(torch.stack(parts).sum(0)).tolist()
                if count:
                    logs = {**logs, name: total / count}
            self._metrics.clear()
        super().log(logs, start_time)


def _check_rows(rows: Sequence[dict[str, Any]], objective: ObjectiveName) -> None:
    if not len(rows):
        raise UserError("train_dataset is empty: no rollout has an advantage other than zero.")
    missing = {"prompt_ids", "completion_ids", "advantage", "decision"} - set(rows[0])
    if missing:
        raise UserError(f"train_dataset lacks {', '.join(sorted(missing))}; see training_rows().")
    if all(row["advantage"] == 0 for row in rows):
        raise UserError("All advantages are zero: no problem is mixed, nothing can be learnt.")
    if objective != "paper" and any(row.get("base_logprob") is None for row in rows):
        raise UserError(
            f"objective = '{objective}' weighs a token by how its probability has changed: train_dataset needs "
            "base_logprob, log-probabilities under the model that sampled; see training_rows()."
        )
