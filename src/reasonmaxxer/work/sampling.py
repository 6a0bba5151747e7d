"""Answers of a model to problems, in every command alike: durable, graded, counted by the stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.workspace import StageWork


def answer(
    work: StageWork,
    problems: Sequence[Problem],
    folder: Path,
    per_shard: int,
    sampler: Sampler,
    flops: ModelFlops,
    task: Task,
    on_rollouts: Callable[[list[Rollout]], None] | None = None,
) -> list[Rollout]:
    """Rollouts of problems as durable shards; the stage's meter counts those that are not there yet.

    Args:
        work: the stage.
        problems: what to answer.
        folder: receives the shards; within the stage's.
        per_shard: rollouts written at once.
        sampler: makes those that are missing.
        flops: of the model that it samples.
        task: the progress bar.
        on_rollouts: called with the rollouts of each shard.
    """
    tokens_at_work, finished = 0, 0
    work.expect(folder, len(problems) * sampler.per_problem)

    def on_tokens(tokens: int, done: int) -> None:
        nonlocal tokens_at_work, finished
        tokens_at_work, finished = tokens_at_work + tokens, finished + done
        task.advance(done, tokens)
        work.tell(folder, finished, tokens_at_work)

    def on_shard(rollouts: list[Rollout], path: Path | None) -> None:
        nonlocal tokens_at_work
        tokens_at_work = 0
        if on_rollouts:
            on_rollouts(rollouts)
        if path:
            tokens = sum(len(r.completion_ids) for r in rollouts)
            work.meter.add(tokens=tokens, flops=flops.rollouts(rollouts))
            work.save_cost(path)

    return collect(problems, folder, per_shard, sampler, on_tokens=on_tokens, on_shard=on_shard)


def greedily(config: SamplingConfig) -> SamplingConfig:
    """The same decoding without chance."""
    return config.model_copy(update={"temperature": 0.0})


def count_scored(work: StageWork, flops: ModelFlops, task: Task) -> Callable[[int], None]:
    """What to call with the tokens of each sequence that a model has scored at every position."""

    def on_scored(tokens: int) -> None:
        work.meter.add(tokens=tokens, flops=flops.hidden(tokens) + flops.logits(tokens))
        task.advance(1, tokens)

    return on_scored
