"""Benchmarks and training pools that are known by name, and where each is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from reasonmaxxer.errors import UserError

TABLE = Path(__file__).parent / "catalogue.yaml"
DATA_DIR = "REASONMAXXER_DATA"
"""Environment variable that names a folder of the files below."""


@dataclass(frozen=True)
class Benchmark:
    """A set of problems with a name.

    Attributes:
        name: as a source is called.
        title: as people call it.
        file: stem of its JSON Lines file in a data folder.
        hub: id of its Hugging Face data set.
        split: of that data set.
        revision: commit of that data set.
        problems: how many it has.
        subset: configuration of that data set, where it has several.
        columns: that data set's names of `id`, `problem`, `answer`, `subject` and `level`, where they
            are others.
        samples: completions a problem in the paper's protocol; none for a training pool.
    """

    name: str
    title: str
    file: str
    hub: str
    split: str
    revision: str
    problems: int
    subset: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    samples: int | None = None

    def path(self) -> Path | None:
        """Its file in the data folder; None where there is none.

        Raises:
            UserError: the data folder that the environment names does not exist.
        """
        named = os.environ.get(DATA_DIR)
        if not named:
            return None
        if not Path(named).is_dir():
            raise UserError(
                f"The data folder {named} does not exist; correct --data-dir or {DATA_DIR}, or unset it "
                "to read from the Hugging Face hub."
            )
        path = Path(named).expanduser() / f"{self.file}.jsonl"
        return path if path.is_file() else None


def _read() -> dict[str, Benchmark]:
    values = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {name: Benchmark(name, **entry) for name, entry in values.items()}


CATALOGUE: Mapping[str, Benchmark] = _read()
"""Every benchmark and training pool, by name."""

SUITES: Mapping[str, tuple[str, ...]] = {
    "paper": ("gsm8k", "math500", "minerva", "olympiadbench", "aime24", "amc23", "aime25")
}
"""Benchmarks that are measured together, in the order of arXiv 2605.06241, Table 3, and AIME 2025."""
