"""What of a run goes to the Hugging Face hub, ready for `hf upload`: weights, model card, figures; never rollouts."""

import re
import shutil
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, whole_folder, write_json, write_text, yaml_text
from reasonmaxxer.models.files import ADAPTER_CONFIG, read_settings
from reasonmaxxer.models.names import resolve
from reasonmaxxer.share.card import model_card
from reasonmaxxer.share.source import without_paths
from reasonmaxxer.work.folder import finished_run

FOLDER = "hub"
"""In a run directory: what may be uploaded of it."""


def write_hub_folder(run: Path) -> None:
    """Make `RUN/hub`: the adapter, its model card, `summary.json` and `recipe.yaml`, without this machine's paths.

    A folder of the same results stays as it is, with what was written into its card since.

    Raises:
        UserError: an unfinished run.
    """
    folder, adapter = run / FOLDER, run / "training" / "adapter"
    there = folder / "summary.json"
    if there.is_file() and read_json(there) == without_paths(read_json(run / "summary.json")):
        return
    shutil.rmtree(folder, ignore_errors=True)
    with whole_folder(folder) as partial:
        shutil.copytree(adapter, partial, dirs_exist_ok=True)
        write_json(without_paths(read_settings(adapter / ADAPTER_CONFIG)), partial / ADAPTER_CONFIG)
        add_card(run, partial, run.resolve().name, resolve(adapter).hub_id)


def add_card(run: Path, folder: Path, name: str, base: str, merged: dict[str, Any] | None = None) -> None:
    """Put a run's figures, recipe and model card beside weights that it made.

    Args:
        run: a finished run.
        folder: of the weights.
        name: of the model.
        base: hub id or folder of the base.
        merged: what `merge.json` holds; none for an adapter.

    Raises:
        UserError: an unfinished run.
    """
    summary, recipe = map(without_paths, finished_run(run))
    write_json(summary, folder / "summary.json")
    write_text(yaml_text(recipe), folder / "recipe.yaml")
    name = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)  # as a repository may be called
    card = model_card(name, base, summary, recipe, merged, _is_on_hub(base))
    write_text(card, folder / "README.md")


def _is_on_hub(name: str) -> bool:
    """Whether a base can only be a repository of the hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()
