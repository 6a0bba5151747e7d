"""Training an adapter on rows of packed sequences, whatever the loss, on `transformers.Trainer`.

Checkpoints, exact resume, trackers (`report_to`), gradient checkpointing and several devices are
those of `transformers.Trainer` and accelerate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from reasonmaxxer.errors import UserError
from reasonmaxxer.method.data import PackedCollator
from reasonmaxxer.method.order import group_order
from reasonmaxxer.method.processes import gathered, process_count
from reasonmaxxer.models import OutputHead, decoder
from reasonmaxxer.models.cpu.recomputation import selective_recomputation
from reasonmaxxer.models.head import unwrapped
from reasonmaxxer.models.reading import reading, row_states


@dataclass
class PackedArguments(TrainingArguments):  # type: ignore[misc]
    """`TrainingArguments` of a data set whose rows are no keyword arguments of a model.

    A process has one device: several take `accelerate launch`.
    """

    def __post_init__(self) -> None:
        self.remove_unused_columns = False  # rows are not a model's keyword arguments
        self.logging_nan_inf_filter = False  # a broken loss must be seen
        self.ddp_find_unused_parameters = False  # every row uses every weight of an adapter
        super().__post_init__()
        self._n_gpu = min(self.n_gpu, 1)  # or several devices would be taken for one DataParallel


def remove_dropout(model: Any) -> None:
    """Remove the dropout of a base for good, in its modules and its config; an adapter keeps its own.

    The anchor compares with a frozen base: with neurons left out that would differ from itself.

    Args:
        model: a causal LM, with an adapter or without.
    """
    for name, module in model.named_modules():
        if "lora_" in name:
            continue
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        owners = [module, module.config] if hasattr(module, "config") else [module]
        for owner in owners:  # some layers ask the config each time
            rates = [k for k, rate in vars(owner).items() if "drop" in k and type(rate) is float]
            for key in rates:
                setattr(owner, key, 0.0)


class PackedTrainer(Trainer):  # type: ignore[misc]
    """Trains on batches of `PackedCollator`; a subclass says what the loss of a row is.

    Args:
        model: a causal LM that carries an adapter.
        args: the configuration.
        data_collator: makes the batches.
        train_dataset: rows as the collator takes them; those of one prompt are read together.
        **kwargs: passed to `transformers.Trainer`.

    Raises:
        UserError: several processes, and a family that reads one sequence at a time.
    """

    loss_is_scaled_for_ga = True  # row_loss divides by all sequences of the step itself

    def __init__(
        self,
        model: Any,
        args: PackedArguments,
        data_collator: PackedCollator,
        train_dataset: Sequence[dict[str, Any]],
        **kwargs: Any,
    ) -> None:
        self.head = OutputHead(model)
        remove_dropout(model)
        if reading(model) == "alone" and process_count() > 1:
            raise UserError(
                f"{type(unwrapped(model)).__name__} reads one sequence at a time, which several processes "
                "cannot do in step: start it without accelerate launch."
            )
        super().__init__(model=model, args=args, data_collator=data_collator, train_dataset=train_dataset, **kwargs)

    def row_loss(self, model: Any, row: dict[str, Any], sequences: Tensor | int) -> Tensor:
        """A row's part of the mean of the per-sequence losses of one optimiser step.

        Args:
            model: the adapted model, perhaps wrapped by accelerate.
            row: of a batch of the collator.
            sequences: of the whole step over all processes.
        """
        raise NotImplementedError

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of a batch, row by row: memory is that of one row."""
        *first, last = inputs["rows"]
        step = partial(super().training_step, model, num_items_in_batch=num_items_in_batch)
        losses = []
        state = self.accelerator.gradient_state
        ends_step = state.sync_gradients
        with selective_recomputation(model):
            for row in first:
                # or DeepSpeed takes an optimiser step for every row
                state._set_sync_gradients(False)
                with self.accelerator.no_sync(model):
                    losses.append(step(row))
            state._set_sync_gradients(ends_step)
            return torch.stack([*losses, step(last)]).sum()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Every process is given whole batches, of which its collator takes a share.

        What accelerate would give it could end earlier than another's, or begin again with sequences of the
        start.
        """
        rows, args = self.train_dataset, self.args
        loader = DataLoader(
            rows,
            batch_size=args.per_device_train_batch_size * self.accelerator.num_processes,
            sampler=self._get_train_sampler(rows),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
        )
        device = self.accelerator.device
        return prepare_data_loader(  # type: ignore[no-any-return]
            loader,
            device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=True,  # or the host would wait for the device once a tensor of a row
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """FLOPs of a batch, as `Trainer` estimates them for its logs: so many a token."""
        tokens: int = sum(row["input_ids"].numel() for row in inputs["rows"])
        return self._token_ops * tokens

    @cached_property
    def _token_ops(self) -> int:
        ops: int = super().floating_point_ops({"input_ids": torch.zeros(1, 1)})
        return ops

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """`row_loss` as `Trainer` asks for it.

        Args:
            model: the adapted model, perhaps wrapped by accelerate.
            inputs: a row of a batch.
            return_outputs: also return an empty output, as `Trainer` asks.
            num_items_in_batch: sequences of the whole step over all processes; none counts the row's.
        """
        sequences = _sequences(inputs) if num_items_in_batch is None else num_items_in_batch
        with gathered(self.head.projection):
            loss = self.row_loss(model, inputs, sequences)
        # accelerate averages gradients over processes; the sum over sequences is what is meant
        loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def hidden(self, model: Any, row: dict[str, Any]) -> Tensor:
        """Final hidden states [T, D] of a row.

        They are caught on their way to a head that is asked for no position.
        """
        unwrapped = self.accelerator.unwrap_model(model)
        caught: list[Tensor] = []
        hook = decoder(unwrapped).register_forward_hook(lambda _module, _args, output: caught.append(output[0]))

        def forward(**told: Any) -> Tensor:
            model(logits_to_keep=row["input_ids"].new_empty(0), **told)
            return caught.pop()

        try:
            tokens = (row["input_ids"], row["position_ids"], row["layout"])
            return row_states(reading(unwrapped), unwrapped, forward, *tokens)
        finally:
            hook.remove()

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Shuffled by seed but for runs of sequences of one problem, alike every epoch.

        A prompt is then read once for a run, and by a frozen model once for all epochs.
        """
        rows = train_dataset if train_dataset is not None else self.train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        prompts = [row["prompt_ids"] for row in rows]
        return group_order(prompts, [row.get("advantage", 0.0) for row in rows], seed)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Tensor:
        """Sequences of an optimiser step over all micro-batches and processes, on the host."""
        return torch.tensor(sum(batch["sequences"] for batch in batch_samples))


def _sequences(row: dict[str, Any]) -> int:
    return sum(len(stem) - 1 for stem in row["layout"])
