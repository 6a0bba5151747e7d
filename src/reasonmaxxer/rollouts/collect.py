"""Rollouts of a set of problems as durable shards, each sampled, graded and written once.

A shard is a fixed run of problems with all their rollouts. It is the unit of determinism: an engine
given a shard's requests returns the same bytes on the same machine, so a run killed anywhere and
started again ends with the same table.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.engine import OnTokens
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout, rollout_table, rollouts_from_table

OnShard = Callable[[list[Rollout], Path | None], None]
"""Called with each shard's rollouts, and with the file they are about to be in unless they are there."""


def collect(
    problems: Sequence[Problem],
    folder: Path,
    rollouts_per_shard: int,
    sampler: Sampler,
    *,
    on_tokens: OnTokens | None = None,
    on_shard: OnShard | None = None,
) -> list[Rollout]:
    """Sample the rollouts of all problems as shards in a folder; skip shards already there.

    Args:
        problems: what to solve; shards are consecutive slices.
        folder: receives `shard-00000.parquet`, ..., each as soon as it is done.
        rollouts_per_shard: at most, but at least those of one problem.
        sampler: makes the missing shards.
        on_tokens: called with tokens made and rollouts finished; those that are there are reported as finished.
        on_shard: called with the rollouts of each shard that is there, and of each other one with its path
            just before it is written.

    Raises:
        UserError: a shard that is there holds other problems.
    """
    size = max(1, rollouts_per_shard // sampler.per_problem)
    shards = [problems[start : start + size] for start in range(0, len(problems), size)]
    paths = [folder / f"shard-{number:05d}.parquet" for number in range(len(shards))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    for number in sorted(set(range(len(shards))) - set(missing)):
        rollouts = _read(paths[number], shards[number])
        if on_tokens:
            on_tokens(0, len(rollouts))
        if on_shard:
            on_shard(rollouts, None)
    for index, rollouts in sampler.sample_shards([shards[number] for number in missing], on_tokens):
        path = paths[missing[index]]
        if on_shard:
            on_shard(rollouts, path)
        write_table(rollout_table(rollouts), path)
    return [rollout for path, shard in zip(paths, shards, strict=True) for rollout in _read(path, shard)]


def read_rollouts(folder: Path) -> list[Rollout]:
    """All shards of a folder, in order."""
    return [rollout for path in _paths(folder) for rollout in rollouts_from_table(read_table(path))]


def read_columns(folder: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of all shards of a folder, in order: what needs no tokens reads none."""
    return [row for path in _paths(folder) for row in read_table(path, columns).to_pylist()]


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def _read(path: Path, problems: Sequence[Problem]) -> list[Rollout]:
    """The rollouts of a shard, which must be those of its problems."""
    rollouts = rollouts_from_table(read_table(path))
    answered = list(dict.fromkeys(rollout.problem_id for rollout in rollouts))
    if answered != [problem.id for problem in problems]:
        raise UserError(
            f"{path} holds completions of other problems, or of another number of them "
            f"(first is {answered[0]}). Choose another folder, or delete that one."
        )
    return rollouts
