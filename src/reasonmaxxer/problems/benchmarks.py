"""Problems of a benchmark or training pool by name, from a data folder or from the hub."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR, Benchmark
from reasonmaxxer.problems.code import entry_point_of, joined_code
from reasonmaxxer.problems.files import file_problems
from reasonmaxxer.problems.hub import hub_rows
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.rows import Row, extract_answer, problems_from_rows

FIXED = ("subset", "revision", "text_column", "answer_column", "id_column")
"""Keys of a source that a name settles."""


def benchmark_problems(config: SourceConfig, where: str) -> list[Problem]:
    """Every problem of a set known by name, in order; `metadata["benchmark"]` is the name.

    Args:
        config: whose source is a name in `CATALOGUE`; its split chooses among the set's splits, where it has several.
        where: field named in errors.

    Raises:
        UserError: a key that the name settles, a split that the set does not have, or the set is neither in the data
            folder nor on a hub that can be reached.
    """
    benchmark = CATALOGUE[config.source]
    for key in FIXED:
        if getattr(config, key) is not None:
            raise UserError(
                f"{where}.{key} is settled by the name '{benchmark.name}'; leave it out, or name the "
                "file or data set itself as the source."
            )
    if benchmark.splits and config.split not in benchmark.splits:
        raise UserError(
            f"{where}.split '{config.split}' is unknown: {benchmark.title} has the splits "
            f"{', '.join(benchmark.splits)}.{did_you_mean(config.split, benchmark.splits)}"
        )
    path = benchmark.path()
    if path:
        problems = _of_split(file_problems(SourceConfig(source=str(path)), where), benchmark, config.split, where)
    else:
        problems = _from_hub(benchmark, config.split, where)
    return [
        replace(
            p,
            domain=p.domain if p.verifier == "code" else str(p.metadata.get("subject", benchmark.name)),
            metadata={**p.metadata, "benchmark": benchmark.name},
        )
        for p in problems
    ]


def _of_split(problems: list[Problem], benchmark: Benchmark, split: str, where: str) -> list[Problem]:
    """The problems of a file that are of a split, by the numbers that their ids end in."""
    if not benchmark.splits:
        return problems
    first, last = benchmark.splits[split].ids
    kept = [p for p in problems if first <= int(re.sub(r".*?(\d*)$", r"\1", p.id, flags=re.DOTALL) or -1) <= last]
    if not kept:
        raise UserError(
            f"{where}.split: no problem of {benchmark.file}.jsonl has an id of {benchmark.title}'s split {split}, "
            f"which end in {first} to {last}; give its rows the benchmark's ids."
        )
    return kept


def provenance(config: SourceConfig) -> dict[str, str]:
    """Where problems come from: a benchmark's file or pinned data set, or what else a source names."""
    benchmark = CATALOGUE.get(config.source)
    if benchmark is None:
        named = {"split": config.split, "subset": config.subset, "revision": config.revision}
        return {"source": config.source, **{key: value for key, value in named.items() if value}}
    path = benchmark.path()
    split = {"split": config.split} if benchmark.splits else {}
    if path:
        return {"source": config.source, "file": path.name, **split}
    pinned = {"hub": benchmark.hub, "revision": benchmark.revision, **split}
    return {"source": config.source, **{key: value for key, value in pinned.items() if value}}


def _from_hub(benchmark: Benchmark, split: str, where: str) -> list[Problem]:
    if benchmark.hub is None:
        raise UserError(
            f"{where}.source: {benchmark.title} is read from a data folder alone. Put {benchmark.file}.jsonl into a "
            f"folder and name it with {DATA_DIR}."
        )
    source = SourceConfig(
        source=benchmark.hub,
        subset=benchmark.subset,
        split=split if benchmark.splits else benchmark.split,
        revision=benchmark.revision,
    )
    try:
        found = hub_rows(source, where)
    except UserError as error:
        raise UserError(
            f"{where}.source: {benchmark.title} can be read neither from a data folder nor from the "
            f"Hugging Face hub. Put {benchmark.file}.jsonl into a folder and name it with "
            f"{DATA_DIR}, or make {benchmark.hub} reachable. ({error.__cause__})"
        ) from error
    rows = [_in_our_names(row, benchmark) for row in found]
    answered = [row for row in rows if "tests" in row or extract_answer(str(row.get("answer"))) != ""]
    source = SourceConfig(source=benchmark.hub, text_column="problem", answer_column="answer")
    return problems_from_rows(answered, source, stem=benchmark.name, domain=benchmark.name, where=where)


def _in_our_names(row: Row, benchmark: Benchmark) -> Row:
    """A hub row as it would stand in a data folder."""
    named = {ours: [theirs] if isinstance(theirs, str) else theirs for ours, theirs in benchmark.columns.items()}
    used = {column for theirs in named.values() for column in theirs}
    values: dict[str, Any] = {k: v for k, v in row.items() if k not in used}
    values |= {
        ours: row.get(theirs[0]) if len(theirs) == 1 else joined_code([row.get(column) for column in theirs])
        for ours, theirs in named.items()
    }
    if "tests" in values:
        values.setdefault("entry_point", entry_point_of(values["tests"], str(values["answer"])))
    if isinstance(values.get("answer"), list):
        values["answer"] = ", ".join(map(str, values["answer"]))
    if values.get("id") is not None:
        prefix = f"{benchmark.name}/" if benchmark.prefix is None else benchmark.prefix
        values["id"] = f"{prefix}{values['id']}"
    if "level" in values:  # `Level 5`, in one `Level ?`
        level = re.search(r"\d+", str(values["level"]))
        values["level"] = int(level[0]) if level else None
    return values
