"""Rounds of a training: what each learns from, sampled from the adapter as the round before left it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from reasonmaxxer.artifacts import write_table
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.checkpoints import load_adapter_weights
from reasonmaxxer.method.gate import Gate, resolve_gate
from reasonmaxxer.method.pool import Group, group_rollouts
from reasonmaxxer.method.selection import Example, example_table, examples_of, select_groups
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.engine import rollout_seed
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.work.job import Job
from reasonmaxxer.work.records import RolloutCounts, SignalCounts
from reasonmaxxer.work.stage_work import StageWork


class Lesson(NamedTuple):
    """What a round learns from.

    Attributes:
        examples: rollouts that teach.
        gates: to train an adapter with each.
        sampled: summary of all rollouts of the round.
    """

    examples: list[Example]
    gates: list[Gate]
    sampled: RolloutCounts


def round_problems(problems: Sequence[Problem], count: int | None, number: int, seed: int) -> list[Problem]:
    """Problems that a round asks.

    Args:
        problems: all training problems.
        count: asked a round; None asks all, in order.
        number: of the round, from 1.
        seed: of the order, which is shuffled anew each time all problems have been asked.
    """
    if count is None or count >= len(problems):
        return list(problems)
    random, waiting, chosen = np.random.default_rng(seed), list[int](), list[int]()
    for _ in range(number):
        while len(set(waiting)) < count:
            waiting += random.permutation(len(problems)).tolist()
        chosen = list(dict.fromkeys(waiting))[:count]
        for place in chosen:
            waiting.remove(place)
    return [problems[place] for place in chosen]


def first_lesson(job: Job) -> Lesson:
    """What the stages before training have prepared."""
    signal: SignalCounts = job.workspace.counts("signal")
    return Lesson(job.examples(), [Gate(**values) for values in signal["gates"]], job.workspace.counts("rollouts"))


def next_lesson(job: Job, work: StageWork, number: int, start: Path) -> Lesson | None:
    """Sample the adapter of a checkpoint, and choose what teaches; None where no problem is mixed any more.

    Args:
        job: the run.
        work: its training stage, which keeps rollouts and examples in `round-NUMBER`.
        number: of the round.
        start: the checkpoint.
    """
    folder, config = work.folder / f"round-{number}", job.recipe.signal
    rollouts = _sample(job, work, number, start, folder / "rollouts")
    groups = group_rollouts(rollouts)
    if not any(group.mixed for group in groups):
        return None
    examples, gates = teaching(select_groups(groups, config.problems), job)
    write_table(example_table(examples), folder / "examples.parquet")
    return Lesson(examples, gates, cast(RolloutCounts, rollout_summary(rollouts)))


def teaching(groups: Sequence[Group], job: Job) -> tuple[list[Example], list[Gate]]:
    """Examples of selected groups that were scored, and the gates to train with, fixed over them."""
    config, seed = job.recipe.signal, job.recipe.seed
    examples = examples_of(groups, config, seed)
    entropies = [example.entropy for example in examples]
    return examples, [resolve_gate(gate, entropies, seed) for gate in config.gate.candidates()]


def _sample(job: Job, work: StageWork, number: int, start: Path, folder: Path) -> list[Rollout]:
    """Rollouts of a round's problems, whose draws are other ones than those of the same problem in another round."""
    recipe = job.recipe
    config, each = recipe.rollouts, recipe.rollouts.rollouts_per_problem
    problems = round_problems(job.splits.train, config.problems, number, recipe.seed)
    job.model.add_adapter(recipe.training.adapter, recipe.seed)
    load_adapter_weights(job.model.model, start)
    examiner = replace(job.examiner, seed=rollout_seed(recipe.seed, "round", number))
    with job.display.task(f"Rollouts, round {number}", len(problems) * each) as task:
        rollouts = examiner.ask(job.model.respondent(start), problems, config, each, work, folder, task)
    job.model.remove_adapter()
    return rollouts
