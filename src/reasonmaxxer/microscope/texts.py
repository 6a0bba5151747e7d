"""What is read under both models: greedy answers of one of them, or texts that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reasonmaxxer.config import MicroscopeConfig, SamplingConfig
from reasonmaxxer.microscope.pair import Arm, Pair
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.engine import OnTokens
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier

PER_SHARD = 64
"""Problems whose answers are written at once."""


def microscope_problems(config: MicroscopeConfig) -> list[Problem]:
    """The problems that a config asks for."""
    return load_problems(config.problems, config.seed, "problems")


def greedy(config: MicroscopeConfig) -> SamplingConfig:
    """Decoding without chance."""
    return SamplingConfig(temperature=0, top_p=1, max_new_tokens=config.max_new_tokens)


def greedy_answers(
    pair: Pair,
    arm: Arm,
    problems: Sequence[Problem],
    config: MicroscopeConfig,
    folder: Path,
    on_tokens: OnTokens | None = None,
) -> list[Rollout]:
    """One model's greedy answers, graded, as durable shards.

    Args:
        pair: the models.
        arm: whose answers.
        problems: what to answer.
        config: prompt style, length and grading.
        folder: receives the shards; those that are there are read.
        on_tokens: called with tokens made and answers finished.
    """
    verifier = Verifier(config.verify, config.prompt_style)
    with pair.using(arm) as model, verifier:
        sampler = Sampler(
            TransformersEngine(model, pair.eos_ids, config.batch_size),
            verifier,
            pair.base.tokenizer,
            prompt_style=config.prompt_style,
            sampling=greedy(config),
            per_problem=1,
            seed=config.seed,
        )
        return collect(problems, folder, PER_SHARD, sampler, on_tokens=on_tokens)


def given_answers(pair: Pair, problems: Sequence[Problem], config: MicroscopeConfig) -> list[Rollout]:
    """Answers from a file, graded.

    Raises:
        UserError: a line that cannot be read, or of an unknown problem.
    """
    with Verifier(config.verify, config.prompt_style) as verifier:
        return import_rollouts(
            Path(config.text),
            problems,
            verifier,
            pair.base.tokenizer,
            prompt_style=config.prompt_style,
            eos_ids=pair.eos_ids,
        )
