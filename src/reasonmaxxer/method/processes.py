"""Processes of one training, as `accelerate launch` starts them and says so in the environment."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.errors import UserError


def process_count() -> int:
    """How many were started; one without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this is the one that does everything but training alone."""
    return int(os.environ.get("RANK", 0)) == 0


def check_processes(config: TrainingConfig, rounds: int) -> None:
    """Refuse what several processes cannot train together, before long work starts.

    Raises:
        UserError: a baseline, several rounds, or a step that cannot be shared evenly.
    """
    count = process_count()
    if count == 1:
        return
    if config.method != "reasonmaxxer":
        raise UserError(
            f"training.method = '{config.method}' trains in one process, not {count}: start it without "
            "accelerate launch."
        )
    if rounds > 1:
        raise UserError(f"{rounds} rounds train in one process, not {count}: start them without accelerate launch.")
    if config.batch_size % count:
        raise UserError(
            f"training.batch_size = {config.batch_size} cannot be shared evenly by {count} processes: "
            "start a number that divides it, or change it."
        )


def is_sharded(model: Any) -> bool:
    """Whether each process holds a part of every weight, as with FSDP and DeepSpeed ZeRO-3."""
    return any(hasattr(weight, "device_mesh") or hasattr(weight, "ds_id") for weight in model.parameters())


def gathered(module: Any) -> AbstractContextManager[Any]:
    """Within the block, a module's weights are whole where DeepSpeed ZeRO-3 has spread them."""
    weights = [weight for weight in module.parameters() if hasattr(weight, "ds_id")]
    if not weights:
        return nullcontext()
    from deepspeed.zero import GatheredParameters

    return GatheredParameters(weights)  # type: ignore[no-any-return]


def leave_processes() -> None:
    """End what binds this process to the others: from here on it may take its time, or end."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
