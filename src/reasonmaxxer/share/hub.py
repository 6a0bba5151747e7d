"""A trained model to the Hugging Face hub: weights, model card, figures and recipe; never rollouts."""

from __future__ import annotations

import shutil
from pathlib import Path

from reasonmaxxer.artifacts import read_json, read_object, write_text
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.files import is_adapter
from reasonmaxxer.models.names import resolve
from reasonmaxxer.share.card import model_card
from reasonmaxxer.share.merge import RECORD
from reasonmaxxer.share.source import copy_figures, read_finished
from reasonmaxxer.work.workspace import open_run

FOLDER = "hub"
"""In a run directory: what is pushed of it."""
CARD = "README.md"
PUBLISHED = {".json", ".safetensors", ".md", ".yaml", ".jinja", ".txt", ".model"}
"""Endings of the files that are uploaded; tables of completions have none of them."""


def prepare(path: Path, repo_id: str, license_id: str | None = None) -> Path:
    """The folder that is to be pushed, with its model card.

    Of a run it is made anew at `RUN/hub`: the adapter, `summary.json`, `recipe.yaml` and the card. Any
    other folder, such as one that `merge` made, is pushed as it is; if it has no card, one is written.

    Args:
        path: run directory, PEFT folder or model folder.
        repo_id: `NAME/REPOSITORY`.
        license_id: of the hub's list, such as `apache-2.0`; written into the card.

    Raises:
        UserError: an ill-formed id, an unfinished run, nothing to make a card of, or an adapter whose base
            others cannot load.
    """
    _check_id(repo_id)
    ready = is_adapter(path) or (path / "config.json").is_file()
    if not ready:
        read_finished(path)
    adapter, folder = (path, path) if ready else (path / "training" / "adapter", path / FOLDER)
    base = resolve(adapter)
    if base.adapter and not _is_hub_id(base.hub_id):
        raise UserError(
            f"The adapter's base is {base.hub_id}, a folder of this machine that nobody else can load. Merge "
            "the two with `reasonmaxxer merge` and push that folder."
        )
    if not ready:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(adapter, folder)
        copy_figures(path, folder)
    card = folder / CARD
    if not card.is_file():
        write_text(_card(folder, repo_id), card)
    if license_id:
        from huggingface_hub import ModelCard

        written = ModelCard.load(card)
        written.data.license = license_id
        write_text(str(written), card)
    return folder


def published(folder: Path) -> list[Path]:
    """Files of a folder that are uploaded, by name."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in PUBLISHED)


def push(folder: Path, repo_id: str, private: bool = False) -> str:
    """Upload a prepared folder as one repository, made if it is not there; its address.

    Raises:
        UserError: no token, no network, or the hub refuses.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HTTPError,  # of whichever HTTP library the hub uses
        OfflineModeIsEnabled,
    )

    if not get_token():
        raise UserError("The hub wants a token: `hf auth login`, or set HF_TOKEN. Nothing was uploaded.")
    api = HfApi()
    names = [path.name for path in published(folder)]
    try:
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, allow_patterns=names, commit_message="Upload with reasonmaxxer"
        )
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise UserError(
            f"{repo_id} was not uploaded to {api.endpoint}: {str(error).strip().splitlines()[0]} "
            f"{folder} is complete; the same command tries again."
        ) from error
    return str(url)


def _card(folder: Path, repo_id: str) -> str:
    if not (folder / "summary.json").is_file():
        raise UserError(
            f"{folder} has neither {CARD} nor a summary.json to make one of. Push the run directory, or "
            "write the card yourself."
        )
    merged = read_json(folder / RECORD) if (folder / RECORD).is_file() else None
    base = merged["base"] if merged else resolve(folder).hub_id
    return model_card(
        repo_id,
        base,
        read_object(folder / "summary.json", ("schema",)),
        open_run(folder),
        merged,
        _is_hub_id(base) and (merged is None or "/" in base),  # a folder's name has none
    )


def _check_id(repo_id: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UserError(f"'{repo_id}' is no repository of the hub, which are NAME/REPOSITORY: {error}") from error


def _is_hub_id(name: str) -> bool:
    try:
        _check_id(name)
    except UserError:
        return False
    return not Path(name).exists()
