"""Checkpoints of a training: which are whole, and the adapter in them."""

import shutil
from pathlib import Path
from typing import Any

from peft import load_peft_weights, set_peft_model_state_dict
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.models import LoadedModel

RECORD = "cost.json"
"""File of a checkpoint that is written last and makes it whole; it holds what its maker wants to keep."""


def checkpoint_record(folder: Path, step: int) -> Path:
    """The `RECORD` of the checkpoint after so many steps."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}" / RECORD


def whole_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a folder, by step; one cut off by a kill is left out."""
    checkpoints = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=checkpoint_step)
    return [path for path in checkpoints if (path / RECORD).is_file()]


def checkpoint_step(checkpoint: Path) -> int:
    """Optimiser steps behind a checkpoint folder."""
    return int(checkpoint.name.rpartition("-")[2])


def save_adapter(checkpoint: Path, target: Path, base: LoadedModel) -> None:
    """Copy a checkpoint's adapter to a standard PEFT folder that names its base and the base's revision.

    Args:
        checkpoint: a checkpoint folder.
        target: the folder to make.
        base: the base model.
    """
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkpoint / SAFETENSORS_WEIGHTS_NAME, target / SAFETENSORS_WEIGHTS_NAME)
    config = read_json(checkpoint / CONFIG_NAME)
    config |= {"base_model_name_or_path": base.name, "revision": base.config.revision}
    config["target_modules"].sort()  # PEFT keeps a set, written in any order
    write_json(config, target / CONFIG_NAME)


def load_adapter_weights(model: Any, adapter: Path) -> None:
    """Put a saved adapter's weights into the model's adapter of the same shape."""
    set_peft_model_state_dict(model, load_peft_weights(str(adapter), device=str(model.device)))
