"""Rollouts of a set of problems: sampled and graded shard by shard, each shard written once.

A shard is a fixed run of problems with all their rollouts. It is the unit of determinism: an engine
given a shard's requests returns the same bytes on the same machine, so a run killed anywhere and
started again ends with the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.config import PromptStyle, SamplingConfig
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.engine import Engine, OnTokens, Request, rollout_seed
from reasonmaxxer.rollouts.table import Rollout, rollout_table, rollouts_from_table
from reasonmaxxer.verify import Grade


class Grader(Protocol):
    """Grades completions of problems, in order."""

    def grade(self, items: Sequence[tuple[Problem, str]]) -> list[Grade]:
        """One grade an item."""
        ...


def sample_rollouts(
    problems: Sequence[Problem],
    engine: Engine,
    verifier: Grader,
    tokenizer: Any,
    *,
    prompt_style: PromptStyle,
    sampling: SamplingConfig,
    per_problem: int,
    seed: int,
    on_tokens: OnTokens | None = None,
) -> list[Rollout]:
    """Sample and grade `per_problem` rollouts of each problem, in order.

    Args:
        problems: what to solve.
        engine: what samples.
        verifier: what grades.
        tokenizer: renders prompts and decodes completions.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        per_problem: rollouts a problem.
        seed: the run's seed; with problem id and index it fixes each rollout's draws.
        on_tokens: called after each step with tokens made and rollouts finished.
    """
    prompts = [tuple(render_prompt(prompt_style, p.text, tokenizer)) for p in problems]
    requests = [
        Request(prompt, rollout_seed(seed, problem.id, index))
        for problem, prompt in zip(problems, prompts, strict=True)
        for index in range(per_problem)
    ]
    made = engine.generate(requests, sampling, on_tokens)
    texts = [tokenizer.decode(c.ids, skip_special_tokens=True) for c in made]
    owners = [problem for problem in problems for _ in range(per_problem)]
    grades = verifier.grade(list(zip(owners, texts, strict=True)))
    return [
        Rollout(
            problem_id=owner.id,
            rollout=number % per_problem,
            seed=request.seed,
            prompt_ids=list(request.prompt_ids),
            completion_ids=completion.ids,
            text=text,
            finish_reason=completion.finish_reason,
            entropy=completion.entropy,
            logprob=completion.logprob,
            outcome=grade.outcome.value,
            extracted=grade.extracted,
            engine=engine.name,
            engine_version=engine.version,
        )
        for number, (owner, request, completion, text, grade) in enumerate(
            zip(owners, requests, made, texts, grades, strict=True)
        )
    ]


def collect(
    problems: Sequence[Problem],
    folder: Path,
    problems_per_shard: int,
    make: Callable[[Sequence[Problem]], list[Rollout]],
    on_shard: Callable[[list[Rollout], bool], None] | None = None,
) -> list[Rollout]:
    """Make the rollouts of all problems as durable shards in a folder; skip shards already there.

    Args:
        problems: all of them; shards are consecutive slices.
        folder: receives `shard-00000.parquet`, ...
        problems_per_shard: length of a slice.
        make: turns a slice into rollouts; called only for missing shards.
        on_shard: called with each shard's rollouts and whether they were made just now.
    """
    collected = []
    for number, shard in enumerate(_slices(problems, problems_per_shard)):
        path = folder / f"shard-{number:05d}.parquet"
        fresh = not path.exists()
        if fresh:
            write_table(rollout_table(make(shard)), path)
        rollouts = rollouts_from_table(read_table(path))
        if on_shard:
            on_shard(rollouts, fresh)
        collected += rollouts
    return collected


def collect_samples(
    problems: Sequence[Problem],
    folder: Path,
    rollouts_per_shard: int,
    engine: Engine,
    verifier: Grader,
    tokenizer: Any,
    *,
    prompt_style: PromptStyle,
    sampling: SamplingConfig,
    per_problem: int,
    seed: int,
    on_tokens: OnTokens | None = None,
    on_shard: Callable[[list[Rollout], bool], None] | None = None,
) -> list[Rollout]:
    """`sample_rollouts` of all problems as durable shards.

    Args:
        problems: what to solve.
        folder: receives the shards; those that are there are read, and their rollouts reported as done.
        rollouts_per_shard: at most, but at least those of one problem.
        engine: what samples.
        verifier: what grades.
        tokenizer: renders prompts and decodes completions.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        per_problem: rollouts a problem.
        seed: the run's seed.
        on_tokens: called with tokens made and rollouts finished.
        on_shard: called with each shard's rollouts and whether they were made just now.
    """

    def make(shard: Sequence[Problem]) -> list[Rollout]:
        return sample_rollouts(
            shard,
            engine,
            verifier,
            tokenizer,
            prompt_style=prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=seed,
            on_tokens=on_tokens,
        )

    def report(rollouts: list[Rollout], fresh: bool) -> None:
        if on_shard:
            on_shard(rollouts, fresh)
        if on_tokens and not fresh:
            on_tokens(0, len(rollouts))

    return collect(problems, folder, max(1, rollouts_per_shard // per_problem), make, report)


def read_rollouts(folder: Path) -> list[Rollout]:
    """All shards of a folder, in order."""
    paths = sorted(folder.glob("shard-*.parquet"))
    return [rollout for path in paths for rollout in rollouts_from_table(read_table(path))]


def read_columns(folder: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of all shards of a folder, in order: what needs no tokens reads none."""
    paths = sorted(folder.glob("shard-*.parquet"))
    return [row for path in paths for row in read_table(path, columns).to_pylist()]


def _slices(problems: Sequence[Problem], size: int) -> Iterator[Sequence[Problem]]:
    return (problems[start : start + size] for start in range(0, len(problems), size))
