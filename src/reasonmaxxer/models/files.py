"""The files that a model is: safetensors that are whole, and what else decides its answers."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from reasonmaxxer.artifacts import file_hash
from reasonmaxxer.errors import UserError

ADAPTER_CONFIG = "adapter_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER = (
    "*token*.json", "vocab*", "merges.txt", "*.model", "*.tiktoken",
    "chat_template*", "additional_chat_templates/*",
)  # fmt: skip
"""Names of files that make prompts."""
SETTINGS = ("config.json", "generation_config.json", ADAPTER_CONFIG, "*.py", *TOKENIZER)
"""Names of files that decide a model's answers beside its weights."""


def files_of(folder: Path) -> list[Path]:
    """Weights of a model's or an adapter's folder, then what else decides its answers.

    Raises:
        UserError: no safetensors weights, or files that are not whole.
    """
    files = [*weights_of(folder), *matching(folder, SETTINGS)]
    for file in files:
        _refuse_broken(file)
    return files


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Files of a folder whose names match one of some patterns, sorted."""
    return sorted({f for pattern in patterns for f in folder.glob(pattern) if f.is_file()})


def is_adapter(path: Path) -> bool:
    """Whether a path is that of a PEFT folder."""
    return (path / ADAPTER_CONFIG).is_file()


def read_settings(file: Path) -> dict[str, Any]:
    """A JSON file of a model's folder.

    Raises:
        UserError: it holds something else than a JSON object.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # bytes or JSON
        raise UserError(f"{file} cannot be read ({error}): download or save it again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds no JSON object: download or save it again.")
    return values


def weights_of(folder: Path) -> list[Path]:
    """Weight files of a model's or an adapter's folder, exactly those that are loaded.

    Raises:
        UserError: there are none in safetensors, or they lie elsewhere.
    """
    if is_adapter(folder):
        names = [ADAPTER_WEIGHTS]
    elif not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: it is not a transformers model folder.")
    elif "transformers_weights" in read_settings(folder / "config.json"):
        raise UserError(
            f"{folder / 'config.json'} names its weights under transformers_weights: take that out, and "
            f"call the file {WEIGHTS}."
        )
    elif list(folder.glob("shard-*-model-*.safetensors")):  # transformers prefers them to all others
        raise UserError(f"{folder} is a distributed checkpoint: save it anew with save_pretrained.")
    else:
        split = not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file()
        names = shards_of(folder / INDEX) if split else [WEIGHTS]
    for name in names:
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}. Weights are loaded from safetensors only: convert others with "
                "save_pretrained."
            )
    return [folder / name for name in names]


def shards_of(index: Path) -> list[str]:
    """Files that an index of weights names.

    Raises:
        UserError: one of them is no safetensors file, or lies outside the index's folder.
    """
    names = read_settings(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UserError(f"{index} has no weight_map: download or save it again.")
    for name in names.values():
        path = PurePosixPath(str(name))
        if path.is_absolute() or ".." in path.parts or path.suffix != ".safetensors":
            raise UserError(
                f"{index} names {name!r}: weights are loaded from .safetensors files of their own folder "
                "only. Convert them with save_pretrained."
            )
    return sorted(set(names.values()))


def fingerprint(files: Iterable[Path], base: str = "") -> str:
    """SHA-256 over the names and contents of files, hexadecimal.

    Args:
        files: as `files_of` lists them.
        base: fingerprint of what they change.
    """
    lines = (f"{file.name} {file_hash(file)}" for file in files)
    return hashlib.sha256("\n".join([base, *lines]).encode()).hexdigest()


def refuse_other_weights(
    where: str, missing: Iterable[str], unexpected: Iterable[str], shapes: Sequence[str] = ()
) -> None:
    """Refuse weights that are not those of the model they are loaded into.

    Args:
        where: their folder.
        missing: names that the model has and the files do not.
        unexpected: names that the files have and the model does not.
        shapes: a phrase for each that has another shape in the files.

    Raises:
        UserError: there are any.
    """
    lacking, strange = sorted(missing), sorted(unexpected)
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if names[3:] else ''})"
        for what, names in (
            ("are missing", lacking),
            ("are unknown to it", strange),
            ("have another shape", list(shapes)),
        )
        if names
    ]
    if found:
        raise UserError(
            f"{where} does not hold the weights of its model: of the tensors {', '.join(found)}."
            f"{_prefix(lacking, strange)} Save it again with save_pretrained, from where it loads."
        )


def _prefix(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """What the names of the one have before those of the other."""
    for short, long, says in ((missing, unexpected, "carry"), (unexpected, missing, "lack")):
        for name in long:
            ends = [other for other in short if name.endswith(f".{other}")]
            if ends:
                return f" Its names {says} the prefix '{name.removesuffix(max(ends, key=len))}'."
    return ""


def _refuse_broken(file: Path) -> None:
    with file.open("rb") as opened:
        if opened.read(40).startswith(b"version https://git-lfs"):
            raise UserError(
                f"{file} is a pointer of Git LFS, not the file itself: run `git lfs pull` in {file.parent}."
            )
    if file.name.endswith("config.json"):
        read_settings(file)
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, "numpy"):
            pass
    except SafetensorError as error:
        raise UserError(f"{file} is not whole ({error}): download or save it again.") from error
