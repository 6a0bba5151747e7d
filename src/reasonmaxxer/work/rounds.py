"""Rounds of a training: what each learns from, sampled from the adapter as the round before left it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.errors import NothingToLearnError
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.gate import Gate, resolve_gate
from reasonmaxxer.method.pool import Group, group_rollouts
from reasonmaxxer.method.scoring import score_rollouts
from reasonmaxxer.method.selection import Example, example_table, examples_from_table, examples_of, select_groups
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.engine import rollout_seed
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.work.job import Job
from reasonmaxxer.work.records import RolloutCounts, SignalCounts
from reasonmaxxer.work.sampling import count_scored
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


def next_lesson(job: Job, work: StageWork, number: int, start: Path) -> Lesson:
    """Sample the adapter of a checkpoint, and choose what teaches.

    Args:
        job: the run.
        work: its training stage, which keeps rollouts and examples in `round-NUMBER`.
        number: of the round.
        start: the checkpoint.

    Raises:
        NothingToLearnError: no problem is mixed any more, or no rollout has an advantage.
    """
    folder = work.folder / f"round-{number}"
    chosen = folder / "examples.parquet"
    with job.carrying(start):
        rollouts = _sample(job, work, number, start, folder / "rollouts")
        if not chosen.exists():
            job.model.close()  # what has sampled makes room for what scores
            examples = teaching(group_rollouts(rollouts), job, work)
            work.save_cost(chosen)
            write_table(example_table(examples), chosen)
    examples = examples_from_table(read_table(chosen))
    return Lesson(examples, gates_over(examples, job), cast(RolloutCounts, rollout_summary(rollouts)))


def teaching(groups: Sequence[Group], job: Job, work: StageWork) -> list[Example]:
    """Rollouts of the groups nearest one half that teach, scored by the model as it stands where they were not.

    Raises:
        NothingToLearnError: no group is mixed, or every advantage is zero, as by chance with `random`.
    """
    config = job.recipe.signal
    rollouts = [rollout for group in select_groups(groups, config.problems) for rollout in group.rollouts]
    if any(r.entropy is None or r.logprob is None for r in rollouts):
        with job.display.task("Scoring rollouts", len(rollouts)) as task:
            rollouts = score_rollouts(rollouts, job.model.model, count_scored(work, job.model.flops, task))
    examples = examples_of(group_rollouts(rollouts), config, job.recipe.seed)
    if not examples:
        raise NothingToLearnError(
            f"With signal.advantage = '{config.advantage}' no rollout differs from the others of its problem: every "
            "advantage is 0. More problems (problems.train.limit) or more rollouts each "
            "(rollouts.rollouts_per_problem) would give some."
        )
    return examples


def gates_over(examples: Sequence[Example], job: Job) -> list[Gate]:
    """The gates to train with, fixed over what teaches."""
    entropies = [example.entropy for example in examples]
    return [resolve_gate(gate, entropies, job.recipe.seed) for gate in job.recipe.signal.gate.candidates()]


def _sample(job: Job, work: StageWork, number: int, start: Path, folder: Path) -> list[Rollout]:
    """Rollouts of a round's problems, whose draws are other ones than those of the same problem in another round."""
    recipe = job.recipe
    config, each = recipe.rollouts, recipe.rollouts.rollouts_per_problem
    problems = round_problems(job.splits.train, config.problems, number, recipe.seed)
    examiner = replace(job.examiner, seed=rollout_seed(recipe.seed, "round", number))
    with job.display.task(f"Rollouts, round {number}", len(problems) * each) as task:
        return examiner.ask(job.model.respondent(start), problems, config, each, work, folder, task)
