"""The work of a run's stages, on lengths made up from what is assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reasonmaxxer.config import Recipe, SourceConfig
from reasonmaxxer.cost.planning.assumed import PROMPT_TOKENS, Assumptions
from reasonmaxxer.cost.planning.devices import this_cpu
from reasonmaxxer.cost.planning.shapes import Shape, assumed_completion
from reasonmaxxer.cost.planning.work import Sampling, Scoring, Training, Work, lengths, scale_of
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.fit import planned_steps
from reasonmaxxer.method.selection import Example
from reasonmaxxer.problems import load_problems
from reasonmaxxer.problems.catalogue import CATALOGUE

SHARD, LOST = 512, 170.0
"""Rollouts a shard at most, and the seconds that one may take, which a kill loses; half as many take 85."""
PRODUCTS, BANDWIDTH = 90e9, 20e9
"""Rates of a middling CPU's thread: float32 FLOP/s of a large product, bytes/s of memory."""


def stage_work(recipe: Recipe, assumed: Assumptions) -> dict[str, list[Work]]:
    """The work of each stage that computes anything."""
    if recipe.training.method != "reasonmaxxer":
        raise UserError(f"A plan is made for ReasonMaxxer, not training.method '{recipe.training.method}'.")
    count = {
        name: _count(getattr(recipe.problems, name), f"problems.{name}", recipe.seed)
        for name in ("train", "validation", "test")
    }
    rollouts = _sampling(recipe, assumed, count["train"], recipe.rollouts.rollouts_per_problem)
    examples = _examples(recipe, assumed, rollouts)
    evaluation = recipe.evaluation
    greedy = _sampling(recipe, assumed, count["test"], 1, evaluation.max_new_tokens)
    sampled = min(count["test"], evaluation.sampled_problems or count["test"])
    arm = [greedy]
    if evaluation.samples:
        arm.append(_sampling(recipe, assumed, sampled, evaluation.samples, evaluation.max_new_tokens))
    work: dict[str, list[Work]] = {"rollouts": [rollouts]}
    if recipe.rollouts.imported:
        kept = [len(e.prompt_ids) + len(e.completion_ids) for e in examples]
        work = {"signal": [Scoring(kept)]}
    work["training"] = _training(recipe, assumed, examples, count["validation"])
    work["evaluation"] = [*arm, *arm]
    work["inspection"] = [_inspection(recipe, assumed, rollouts, greedy)]
    return work


def with_shards(recipe: Recipe, shape: Shape | None) -> Recipe:
    """A recipe that says how many rollouts make a shard: the power of two that takes about two minutes.

    What a CPU makes in a while is told by its threads alone, not measured, so that a recipe has the same
    shards, on which its bytes depend, whenever it is run on a machine.

    Args:
        recipe: returned as it is if it says so already.
        shape: of the model on a CPU; None is a GPU, which makes hundreds in hardly more time than a few.
    """
    if recipe.rollouts.rollouts_per_shard:
        return recipe
    many = SHARD
    while shape and many > 1 and _cpu_seconds(recipe, shape, many) > LOST:
        many //= 2
    rollouts = recipe.rollouts.model_copy(update={"rollouts_per_shard": many})
    return recipe.model_copy(update={"rollouts": rollouts})


def _cpu_seconds(recipe: Recipe, shape: Shape, many: int) -> float:
    """Seconds that a shard of so many rollouts takes on a CPU of middling threads."""
    import torch

    threads = torch.get_num_threads()
    rates = (threads * PRODUCTS * 4 / shape.itemsize, threads * BANDWIDTH)
    limit = recipe.rollouts.max_new_tokens
    mean = assumed_completion(recipe.model, limit)[1]
    shard = Sampling(
        prompt=PROMPT_TOKENS,
        lengths=lengths(many, scale_of(mean, limit), limit, recipe.seed),
        each=recipe.rollouts.rollouts_per_problem,
        limit=limit,
        slots=recipe.rollouts.batch_size,
        shard=many,
    )
    return shard.seconds(shape, this_cpu(torch.float32, rates))


def _count(source: SourceConfig, where: str, seed: int) -> int:
    """Problems of a split; only a generated or local one is looked at."""
    if source.limit is not None:
        return source.limit
    if source.source in CATALOGUE and not source.where:
        return CATALOGUE[source.source].problems
    return len(load_problems(source, seed, where))


def _sampling(recipe: Recipe, assumed: Assumptions, problems: int, each: int, limit: int | None = None) -> Sampling:
    limit = limit or recipe.rollouts.max_new_tokens
    scale = scale_of(assumed.mean_tokens, recipe.rollouts.max_new_tokens)
    return Sampling(
        prompt=assumed.prompt_tokens,
        lengths=lengths(problems * each, scale, limit, recipe.seed),
        each=each,
        limit=limit,
        slots=recipe.rollouts.batch_size,
        shard=recipe.rollouts.rollouts_per_shard or SHARD,
    )


def _examples(recipe: Recipe, assumed: Assumptions, rollouts: Sampling) -> list[Example]:
    """As many as the recipe keeps if there are enough mixed problems, every second rollout right."""
    config, each = recipe.signal, rollouts.each
    kept = rollouts.lengths[: config.problems * each]
    examples = [
        Example(
            problem_id=str(number // each),
            rollout=number % each,
            prompt_ids=[number // each] * assumed.prompt_tokens,
            completion_ids=[0] * length,
            entropy=[],
            logprob=[],
            advantage=1.0 - 2.0 * (number % 2),
        )
        for number, length in enumerate(kept)
    ]
    teaching = [e for e in examples if e.advantage > 0 or not config.positive_only]
    longest = sorted(teaching, key=lambda e: -len(e.completion_ids))
    dropped = {e.key for e in longest[: int(config.trim_longest * len(teaching))]}
    return [e for e in teaching if e.key not in dropped]


def _training(recipe: Recipe, assumed: Assumptions, examples: Sequence[Example], validation: int) -> list[Work]:
    """Each gate's adapter, and each of its checkpoints on the validation problems."""
    config = recipe.training
    gates = len(recipe.signal.gate.candidates())
    steps = planned_steps(len(examples), config)
    checkpoints = math.ceil(steps / math.ceil(steps / config.checkpoints))
    tried = _sampling(recipe, assumed, validation, 1, recipe.evaluation.max_new_tokens)
    work: list[Work] = []
    for index in range(gates):
        longest = assumed.prompt_tokens + recipe.rollouts.max_new_tokens
        work.append(
            Training(
                examples=list(examples),
                decision_share=assumed.decision_share,
                config=config,
                seed=recipe.seed,
                fresh=index == 0,
                longest=min(config.max_length, longest),
                kept_states=gates > 1 or config.epochs > 1,
            )
        )
        work += [tried] * checkpoints
    return work


def _inspection(recipe: Recipe, assumed: Assumptions, rollouts: Sampling, greedy: Sampling) -> Scoring:
    """Every sequence shown is read by base and adapted model."""
    config = recipe.inspection
    shown = rollouts.lengths[: min(config.train_problems, recipe.signal.problems) * rollouts.each]
    shown = shown + 2 * greedy.lengths[: config.test_problems]
    return Scoring([assumed.prompt_tokens + length for length in shown] * 2)
