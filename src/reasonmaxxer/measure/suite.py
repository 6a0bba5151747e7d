"""What a model scores on a benchmark, in all and by part."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.measure.metrics import bootstrap
from reasonmaxxer.measure.rollouts import mean_rewards, pass_at, rewards_by_problem, rollout_summary
from reasonmaxxer.measure.votes import GradeAnswers, majority_at, voting
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.table import Rollout

TRUNCATED = 0.1
"""Share of completions cut at the length limit above which a score must not be read without it."""
PARTS = ("level", "subject", "answer_type")
"""Metadata by which scores are also given."""


def pass_rates(problems: Sequence[Problem], rollouts: Iterable[Rollout]) -> np.ndarray:
    """Share of each problem's completions that are right [problems]."""
    rewards = rewards_by_problem(rollouts)
    return mean_rewards(rewards[problem.id] for problem in problems)


def measure(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], config: SuiteConfig, grade: GradeAnswers
) -> dict[str, Any]:
    """Scores of one benchmark as JSON values, with intervals over its problems.

    Args:
        problems: all that were asked.
        rollouts: as many of each.
        config: which k, and how intervals are drawn.
        grade: says which answers are the same, where several are voted on.

    Returns:
        `accuracy`, `pass_at`, `maj_at` (where answers are read, and k is above 1), `by` (scores by level, subject and
        type of answer), and of all completions `outcomes`, `truncated_share`, `mean_tokens` and, of programs,
        `wrong_by_kind`.
    """
    by_problem = rewards_by_problem(rollouts)
    rewards = [by_problem[problem.id] for problem in problems]
    rates = mean_rewards(rewards)
    found = rollout_summary(rollouts)
    votes = voting(config.ks, problems, config.verify)
    voted = zip(votes, majority_at(votes, problems, rollouts, grade), strict=True)
    return {
        "accuracy": _estimate(rates, config),
        "pass_at": [{"k": k} | _estimate(pass_at(k, rewards), config) for k in config.ks],
        **({"maj_at": [{"k": k} | _estimate(rates, config) for k, rates in voted]} if votes else {}),
        "by": {name: part for name in PARTS if (part := _by(name, problems, rates, config))},
        "outcomes": found["outcomes"],
        "truncated_share": found["truncated_share"],
        "mean_tokens": found["tokens"] / found["rollouts"],
        **{name: found[name] for name in ("wrong_by_kind",) if name in found},
    }


def specimens(problems: Sequence[Problem], rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """The first completion of each outcome, commonest first: what to read before believing a score."""
    asked = {problem.id: problem for problem in problems}
    by_outcome: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        by_outcome[rollout.outcome].append(rollout)
    kept = ("extracted", "outcome", "detail", "truncated", "text")
    return [
        {
            "problem_id": first.problem_id,
            "problem": asked[first.problem_id].text,
            "answer": asked[first.problem_id].answer,
            "code": asked[first.problem_id].verifier == "code",
            **{name: getattr(first, name) for name in kept},
        }
        for first, *_ in sorted(by_outcome.values(), key=len, reverse=True)
    ]


def _by(name: str, problems: Sequence[Problem], rates: np.ndarray, config: SuiteConfig) -> list[dict[str, Any]]:
    """Scores by one name of the metadata; nothing where it tells no problems apart."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, problem in enumerate(problems):
        places[str(problem.metadata.get(name, "not given"))].append(place)
    if len(places) < 2:
        return []
    return [{"name": part} | _estimate(rates[places[part]], config) for part in sorted(places)]


def _estimate(values: np.ndarray, config: SuiteConfig) -> dict[str, Any]:
    return {**bootstrap(values, *config.interval)}
