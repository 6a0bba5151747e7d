"""Sequences to train on in a benchmark: real rollouts, sampled once and kept, or made-up ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost.shape import LARGEST_SHARD
from reasonmaxxer.method.pool import group_rollouts
from reasonmaxxer.method.selection import Example, examples_of, select_groups
from reasonmaxxer.models import LoadedModel, eos_ids
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier


def real_examples(loaded: LoadedModel, recipe: Recipe, count: int, cache: Path) -> list[Example]:
    """Rollouts of mixed word problems, whole problems, kept in the cache folder.

    Args:
        loaded: the base.
        recipe: how rollouts are sampled and selected.
        count: sequences, a multiple of the rollouts a problem.
        cache: receives the rollouts, in a folder of the model's own.
    """
    config, style = recipe.rollouts, recipe.problems.prompt_style
    each = config.rollouts_per_problem
    problems = word_problems("train", 2 * count // each, 0)  # nine in ten are mixed
    engine = TransformersEngine(loaded.model, eos_ids(loaded.model, loaded.tokenizer), config.batch_size)
    with Verifier(recipe.verify, style) as verifier:
        sampler = Sampler(
            engine, verifier, loaded.tokenizer, prompt_style=style, sampling=config, per_problem=each, seed=0
        )
        rollouts = collect(problems, cache / f"{loaded.fingerprint[:12]}-{count}", LARGEST_SHARD, sampler)
    groups = select_groups(group_rollouts(rollouts), count // each)
    return examples_of(groups, recipe.signal, recipe.seed)[:count]


def synthetic_examples(vocabulary: int, count: int, each: int = 8, longest: int = 50) -> list[Example]:
    """Random tokens, a prompt for every `each` completions, by default half as long as real ones.

    Args:
        vocabulary: ids are drawn below it.
        count: sequences.
        each: rollouts a problem.
        longest: tokens of a completion, from a fifth of it upwards.
    """
    draw = np.random.Generator(np.random.Philox(0))
    examples = []
    prompt: list[int] = []
    for n in range(count):
        if n % each == 0:
            prompt = draw.integers(0, vocabulary, draw.integers(20, 40)).tolist()
        length = int(draw.integers(longest // 5, longest))
        examples.append(
            Example(
                problem_id=f"synthetic-{n // each}",
                rollout=n % each,
                prompt_ids=prompt,
                completion_ids=draw.integers(0, vocabulary, length).tolist(),
                entropy=draw.exponential(0.6, length).tolist(),
                logprob=(-draw.exponential(0.6, length)).tolist(),
                advantage=1.0 if n % 2 else -1.0,
            )
        )
    return examples


def steps_of(order: list[int], batch_size: int) -> list[list[int]]:
    """Indices in the order they were trained on, cut into optimiser steps."""
    rest = iter(order)
    return list(iter(lambda: list(itertools.islice(rest, batch_size)), []))
