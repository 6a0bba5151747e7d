"""From a source's config to problems, and from three sources to disjoint splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from reasonmaxxer.config import ProblemsConfig, SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import benchmarks, files, gym, hub
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.problems.draw import keep, shuffled, stratified, take
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.text import normalise
from reasonmaxxer.problems.word_problems import DOMAIN, word_problems


@dataclass(frozen=True)
class Splits:
    """Problems to learn from, to choose on and to measure with; no two share a problem."""

    train: list[Problem]
    validation: list[Problem]
    test: list[Problem]


def load_problems(config: SourceConfig, seed: int, where: str, taken: Sequence[Problem] = ()) -> list[Problem]:
    """The problems of one split, drawn; no two have one id.

    A `limit` draws that many by seed, in drawn order; without one a file, data set or benchmark comes
    whole and in its own order, less the rows that `where` leaves out.

    Args:
        config: the source.
        seed: of the draw, where the config has none.
        where: field named in errors, such as `problems.train`.
        taken: problems of the same file, data set or benchmark that a draw leaves alone.

    Raises:
        UserError: the source cannot be read, repeats an id, or has fewer problems than the limit.
    """
    problems = _drawn(config, seed if config.seed is None else config.seed, where, taken)
    repeated = [key for key, times in Counter(p.id for p in problems).items() if times > 1]
    if repeated:
        raise UserError(
            f"{where}: {len(repeated)} ids occur more than once, such as '{repeated[0]}'; make those of "
            f"{config.source} unique, or in a recipe name a column of unique ids with {where}.id_column."
        )
    return problems


def _drawn(config: SourceConfig, seed: int, where: str, taken: Sequence[Problem]) -> list[Problem]:
    source = config.source
    if config.options and not source.startswith(gym.PREFIX):
        raise UserError(f"{where}.options are for reasoning-gym tasks, not '{source}'; leave them out.")
    if config.where and is_generated(source):
        raise UserError(
            f"{where}.where is for benchmarks, files and data sets, not '{source}', whose problems "
            "are generated; leave it out."
        )
    if source == DOMAIN:
        return word_problems(config.split, config.limit, seed, where)
    if source.startswith(gym.PREFIX):
        return gym.gym_problems(config, seed, where)
    if source in CATALOGUE:
        problems = benchmarks.benchmark_problems(config, where)
    elif files.is_file_source(source):
        problems = files.file_problems(config, where)
    else:
        problems = hub.hub_problems(config, where)
    problems = keep(problems, config.where, f"{where}.where")
    if config.limit is None:
        return problems
    texts = {normalise(p.text) for p in taken}
    left = [p for p in problems if normalise(p.text) not in texts]
    return take(shuffled(left, seed), config.limit, where)


def is_generated(source: str) -> bool:
    """Whether problems of a source are generated, so that a limit draws from an endless supply."""
    return source == DOMAIN or source.startswith(gym.PREFIX)


def load_samples(sources: Sequence[SourceConfig], limit: int | None, seed: int) -> dict[str, list[Problem]]:
    """Problems of several sources by name, of each at most so many, in proportion to its levels or subjects.

    Args:
        sources: each called by the last part of its name.
        limit: problems of each, unless its own limit is smaller; where both are None, all are taken.
        seed: of the draws, where a source has none.

    Raises:
        UserError: a source fails, or two have one name.
    """
    found: dict[str, list[Problem]] = {}
    for number, source in enumerate(sources):
        name = source_name(source)
        if name in found:
            raise UserError(f"Two sources of problems are called '{name}'; rename one of them.")
        count = min((n for n in (source.limit, limit) if n), default=None)
        drawn = seed if source.seed is None else source.seed
        asked = source.model_copy(update={"limit": count if is_generated(source.source) else None})
        problems = load_problems(asked, seed, f"problems.{number}")
        by = "level" if any("level" in problem.metadata for problem in problems) else "subject"
        found[name] = problems if count is None else stratified(problems, count, drawn, by)
    return found


def source_name(source: SourceConfig) -> str:
    """What the folder and the row of a source are called."""
    name = source.source
    return files.file_stem(name) if files.is_file_source(name) else Path(name).name


def load_splits(config: ProblemsConfig, seed: int) -> Splits:
    """Load the three splits and refuse any overlap, by id or by normalised text.

    Args:
        config: the three sources.
        seed: of the draws whose source has no seed of its own.

    Raises:
        UserError: a source fails, an id occurs twice in a split, or two splits share a problem.
    """
    sources = {"train": config.train, "validation": config.validation, "test": config.test}
    return Splits(**load_disjoint(sources, seed, "problems."))


def load_disjoint(sources: Mapping[str, SourceConfig], seed: int, where: str = "") -> dict[str, list[Problem]]:
    """Load several splits by name and refuse any overlap, by id or by normalised text.

    Splits that draw from one file, data set or benchmark draw in turn, the last split first, each from
    what is left: the draw of validation problems is then the same whatever is trained on.

    Args:
        sources: each split's.
        seed: of the draws whose source has no seed of its own.
        where: what stands before a split's name in its key, named in errors.

    Raises:
        UserError: a source fails, an id occurs twice in a split, or two splits share a problem.
    """
    drawn: dict[str, list[Problem]] = {}
    for name, source in reversed(list(sources.items())):
        taken = [p for n, of in drawn.items() if _pool(sources[n]) == _pool(source) for p in of]
        drawn[name] = load_problems(source, seed, f"{where}{name}", taken)
    splits = {name: drawn[name] for name in sources}
    for one, other in combinations(splits, 2):
        _refuse_overlap(splits, sources, one, other, where)
    return splits


def _pool(source: SourceConfig) -> tuple[str | None, ...]:
    """What a source draws from; of a file and of most benchmarks there is only one split."""
    if source.source in CATALOGUE:
        return source.source, source.split if CATALOGUE[source.source].splits else None
    if files.is_file_source(source.source):
        return (source.source,)
    return source.source, source.split, source.subset, source.revision


def _refuse_overlap(
    splits: Mapping[str, list[Problem]], sources: Mapping[str, SourceConfig], one: str, other: str, where: str
) -> None:
    ids = {p.id for p in splits[other]}
    texts = {normalise(p.text) for p in splits[other]}
    same_text = [p for p in splits[one] if normalise(p.text) in texts]
    shared = same_text or [p for p in splits[one] if p.id in ids]
    if not shared:
        return
    if sources[one].source == sources[other].source:
        remedy = f"both draw from '{sources[one].source}', so use distinct files or splits"
    elif same_text:
        remedy = "drop them from one of the two"
    else:
        remedy = "rename one file or name a column of unique ids with id_column"
    raise UserError(
        f"{where}{one} and {where}{other} share {len(shared)} problems by {'text' if same_text else 'id'}, such "
        f"as '{shared[0].id}' ({shared[0].text[:80]!r}); {remedy}."
    )
