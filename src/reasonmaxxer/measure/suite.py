"""What a model scores on a benchmark, in all and by part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.measure.metrics import bootstrap, bootstrap_average, paired_difference, pass_at_k
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.table import Rollout

TRUNCATED = 0.1
"""Share of completions cut at the length limit above which a score must not be read without it."""
PARTS = ("level", "subject", "answer_type")
"""Metadata by which scores are given apart."""


def pass_rates(problems: Sequence[Problem], rollouts: Iterable[Rollout]) -> np.ndarray:
    """Share of each problem's completions that are right [problems]."""
    rewards = _rewards(rollouts)
    return np.array([np.mean(rewards[problem.id]) for problem in problems])


def measure(problems: Sequence[Problem], rollouts: Sequence[Rollout], config: SuiteConfig) -> dict[str, Any]:
    """Scores of one benchmark as JSON values, with intervals over its problems.

    Args:
        problems: all that were asked.
        rollouts: as many of each.
        config: which k, and how intervals are drawn.

    Returns:
        `accuracy`, `pass_at`, `by` (scores by level, subject and type of answer), and of all completions
        `outcomes`, `truncated_share` and `mean_tokens`.
    """
    rates = pass_rates(problems, rollouts)
    rewards = _rewards(rollouts)
    found = rollout_summary(rollouts)
    return {
        "accuracy": _estimate(rates, config),
        "pass_at": [
            {"k": k}
            | _estimate([pass_at_k(len(rewards[p.id]), round(sum(rewards[p.id])), k) for p in problems], config)
            for k in config.ks
        ],
        "by": {name: part for name in PARTS if (part := _by(name, problems, rates, config))},
        "outcomes": found["outcomes"],
        "truncated_share": found["truncated_share"],
        "mean_tokens": found["tokens"] / found["rollouts"],
    }


def average(rates: Sequence[np.ndarray], config: SuiteConfig) -> dict[str, Any]:
    """Mean over benchmarks, each counting alike, with an interval over the problems of each.

    Args:
        rates: pass rates [problems] of each benchmark.
        config: how intervals are drawn.
    """
    return bootstrap_average(rates, config.bootstrap, config.confidence, config.seed).to_dict()


def paired(
    problems: Sequence[Problem], rollouts: Iterable[Rollout], others: Iterable[Rollout], config: SuiteConfig
) -> dict[str, Any]:
    """How much more a model solves than another on the same problems, as JSON values.

    Args:
        problems: that both answered.
        rollouts: of the model.
        others: of the other model.
        config: how intervals are drawn.

    Returns:
        The difference of the means, with its interval over problems; how many problems are solved more and
        less often, and the sign test of those.
    """
    rates, before = pass_rates(problems, rollouts), pass_rates(problems, others)
    found = paired_difference(before, rates, config.bootstrap, config.confidence, config.seed)
    return found.to_dict()


def specimens(problems: Sequence[Problem], rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """The first completion of each outcome, commonest first: what to read before believing a score."""
    answers = {problem.id: problem.answer for problem in problems}
    outcomes = [name for name, _ in Counter(r.outcome for r in rollouts).most_common()]
    firsts = (next(r for r in rollouts if r.outcome == name) for name in outcomes)
    return [
        {
            "problem_id": first.problem_id,
            "answer": answers[first.problem_id],
            "extracted": first.extracted,
            "outcome": first.outcome,
            "truncated": first.truncated,
            "text": first.text,
        }
        for first in firsts
    ]


def _by(name: str, problems: Sequence[Problem], rates: np.ndarray, config: SuiteConfig) -> list[dict[str, Any]]:
    """Scores by one name of the metadata; nothing where it tells no problems apart."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, problem in enumerate(problems):
        places[str(problem.metadata.get(name, "not given"))].append(place)
    if len(places) < 2:
        return []
    return [{"name": part} | _estimate(rates[places[part]], config) for part in sorted(places)]


def _estimate(values: Sequence[float] | np.ndarray, config: SuiteConfig) -> dict[str, Any]:
    drawn = bootstrap(np.asarray(values), config.bootstrap, config.confidence, config.seed)
    return drawn.to_dict()


def _rewards(rollouts: Iterable[Rollout]) -> dict[str, list[float]]:
    """Rewards by problem, in order of the completions."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        rewards[rollout.problem_id].append(rollout.reward)
    return rewards
