"""Problems of a benchmark or training pool by name, from a data folder or from the hub."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR, Benchmark
from reasonmaxxer.problems.files import file_problems
from reasonmaxxer.problems.hub import hub_rows
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.rows import Row, extract_answer, problems_from_rows

FIXED = ("subset", "revision", "text_column", "answer_column", "id_column")
"""Keys of a source that a name settles."""


def benchmark_problems(config: SourceConfig, where: str) -> list[Problem]:
    """Every problem of a set known by name, in order; `metadata["benchmark"]` is the name.

    Args:
        config: whose source is a name in `CATALOGUE`; its split is the set's own.
        where: field named in errors.

    Raises:
        UserError: a key that the name settles, or the set is neither in the data folder nor on a hub
            that can be reached.
    """
    benchmark = CATALOGUE[config.source]
    for key in FIXED:
        if getattr(config, key) is not None:
            raise UserError(
                f"{where}.{key} is settled by the name '{benchmark.name}'; leave it out, or name the "
                "file or data set itself as the source."
            )
    path = benchmark.path()
    problems = file_problems(SourceConfig(source=str(path)), where) if path else _from_hub(benchmark, where)
    return [
        replace(
            p,
            domain=str(p.metadata.get("subject", benchmark.name)),
            metadata={**p.metadata, "benchmark": benchmark.name},
        )
        for p in problems
    ]


def provenance(config: SourceConfig) -> dict[str, str]:
    """Where problems come from: a benchmark's file or pinned data set, or what else a source names."""
    benchmark = CATALOGUE.get(config.source)
    if benchmark is None:
        named = {"split": config.split, "subset": config.subset, "revision": config.revision}
        return {"source": config.source, **{key: value for key, value in named.items() if value}}
    path = benchmark.path()
    if path:
        return {"source": config.source, "file": path.name}
    pinned = {"hub": benchmark.hub, "revision": benchmark.revision}
    return {"source": config.source, **{key: value for key, value in pinned.items() if value}}


def _from_hub(benchmark: Benchmark, where: str) -> list[Problem]:
    if benchmark.hub is None:
        raise UserError(
            f"{where}.source: {benchmark.title} is read from a data folder alone. Put {benchmark.file}.jsonl into a "
            f"folder and name it with {DATA_DIR}."
        )
    source = SourceConfig(
        source=benchmark.hub, subset=benchmark.subset, split=benchmark.split, revision=benchmark.revision
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
    answered = [row for row in rows if extract_answer(str(row.get("answer"))) != ""]
    source = SourceConfig(source=benchmark.hub, text_column="problem", answer_column="answer")
    return problems_from_rows(answered, source, stem=benchmark.name, domain=benchmark.name, where=where)


def _in_our_names(row: Row, benchmark: Benchmark) -> Row:
    """A hub row as it would stand in a data folder."""
    columns = benchmark.columns
    values: dict[str, Any] = {k: v for k, v in row.items() if k not in columns.values()}
    values |= {ours: row.get(theirs) for ours, theirs in columns.items()}
    if isinstance(values.get("answer"), list):
        values["answer"] = ", ".join(map(str, values["answer"]))
    if values.get("id") is not None:
        values["id"] = f"{benchmark.name}/{values['id']}"
    if "level" in values:  # `Level 5`, in one `Level ?`
        level = re.search(r"\d+", str(values["level"]))
        values["level"] = int(level[0]) if level else None
    return values
