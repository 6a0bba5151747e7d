"""What is read under both models: greedy answers of one of them, or texts that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reasonmaxxer.config import MicroscopeConfig, SamplingConfig
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier

PER_SHARD = 64
"""Problems whose answers are written at once."""


def microscope_problems(config: MicroscopeConfig) -> list[Problem]:
    """The problems that a config asks for."""
    return load_problems(config.problems, config.seed, "problems")


def greedy(config: MicroscopeConfig) -> SamplingConfig:
    """Decoding without chance."""
    return SamplingConfig(temperature=0, top_p=1, max_new_tokens=config.max_new_tokens)


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
