"""Benchmarks and training pools that are known by name, and where each is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.errors import UserError

TABLE = Path(__file__).parent / "catalogue.yaml"
DATA_DIR = "REASONMAXXER_DATA"
"""Environment variable that names a folder of the files below."""


@dataclass(frozen=True)
class Part:
    """A split of a benchmark.

    Attributes:
        ids: first and last number of its problems, which is how their ids end.
        problems: how many it has.
    """

    ids: tuple[int, int]
    problems: int


@dataclass(frozen=True)
class Benchmark:
    """A set of problems with a name.

    Attributes:
        name: as a source is called.
        title: as people call it.
        file: stem of its JSON Lines file in a data folder.
        problems: how many it has.
        hub: id of its Hugging Face data set; None where it is read from a data folder alone.
        split: of that data set; not used where the benchmark has splits itself.
        revision: commit of that data set.
        subset: configuration of that data set, where it has several.
        columns: that data set's names of `id`, `problem`, `answer`, `subject` and `level`, where they
            are others; of programs those of `tests` and `hidden_tests` too, several to be joined.
        prefix: what ids begin with before that data set's own; none is the name and a slash.
        splits: its splits, by name; empty where it is one.
        samples: completions a problem in the paper's protocol; none for a training pool.
        suites: names of the suites that it is a part of.
        conventions: how an answer may differ from the reference and be right, see `verify.conventions`.
    """

    name: str
    title: str
    file: str
    problems: int
    hub: str | None = None
    split: str = "test"
    revision: str | None = None
    subset: str | None = None
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)
    prefix: str | None = None
    splits: Mapping[str, Part] = field(default_factory=dict)
    samples: int | None = None
    suites: tuple[str, ...] = ()
    conventions: Mapping[str, float | str] = field(default_factory=dict)

    def size(self, split: str) -> int:
        """Problems of a split; all of them where there are no splits."""
        return self.splits[split].problems if split in self.splits else self.problems

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
                f"The data folder {named} does not exist; correct {DATA_DIR}, or unset it "
                "to read from the Hugging Face hub."
            )
        path = Path(named).expanduser() / f"{self.file}.jsonl"
        return path if path.is_file() else None


def _benchmark(name: str, entry: dict[str, Any]) -> Benchmark:
    splits = {split: Part(**part) for split, part in entry.pop("splits", {}).items()}
    return Benchmark(name, splits=splits, **entry)


CATALOGUE: Mapping[str, Benchmark] = {
    name: _benchmark(name, entry) for name, entry in yaml.safe_load(TABLE.read_text(encoding="utf-8")).items()
}
"""Every benchmark and training pool, by name."""

SUITES: Mapping[str, tuple[str, ...]] = {
    suite: tuple(name for name, benchmark in CATALOGUE.items() if suite in benchmark.suites)
    for suite in dict.fromkeys(suite for benchmark in CATALOGUE.values() for suite in benchmark.suites)
}
"""Benchmarks that are measured together, in order."""
