"""What a model scores on the test problems: greedy pass@1, sampled pass@k and avg@k."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reasonmaxxer.config import EvaluationConfig
from reasonmaxxer.measure.metrics import Estimate, bootstrap, pass_at_k
from reasonmaxxer.rollouts.table import Rollout

Metrics = dict[str, Estimate]
_KIND = re.compile(r"([^\W\d]\w{0,59}):")
"""How a reason begins that names an exception; longer names are a program's own, and are not counted."""


def greedy_metrics(rollouts: Sequence[Rollout], config: EvaluationConfig, seed: int) -> Metrics:
    """`pass@1` of one greedy completion a problem."""
    correct = np.array([rollout.reward for rollout in rollouts])
    return {"pass@1": bootstrap(correct, config.bootstrap, config.confidence, seed)}


def sampled_metrics(rollouts: Sequence[Rollout], config: EvaluationConfig, seed: int) -> Metrics:
    """`pass@k` for each k, and `avg@n`, from n sampled completions a problem."""
    rewards = rewards_by_problem(rollouts).values()
    values = {f"avg@{config.samples}": mean_rewards(rewards), **{f"pass@{k}": pass_at(k, rewards) for k in config.ks}}
    return {
        name: bootstrap(per_problem, config.bootstrap, config.confidence, seed) for name, per_problem in values.items()
    }


def checkpoint_accuracy(
    rows: Iterable[Mapping[str, Any]], config: EvaluationConfig, seed: int
) -> dict[tuple[int, int], Estimate]:
    """Greedy accuracy of every checkpoint on the validation problems, by number of gate and step.

    Args:
        rows: of `training/validation.parquet`.
        config: how intervals are drawn.
        seed: fixes the draws.
    """
    correct: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in rows:
        correct[row["gate"], row["step"]].append(float(row["correct"]))
    return {
        checkpoint: bootstrap(np.array(outcomes), config.bootstrap, config.confidence, seed)
        for checkpoint, outcomes in correct.items()
    }


def outcomes_by_problem(rollouts: Sequence[Rollout]) -> dict[str, bool]:
    """Whether each problem's one greedy completion is correct."""
    return {rollout.problem_id: rollout.reward == 1 for rollout in rollouts}


def rewards_by_problem(rollouts: Iterable[Rollout]) -> dict[str, list[float]]:
    """Rewards of each problem's completions, in their order."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        rewards[rollout.problem_id].append(rollout.reward)
    return rewards


def mean_rewards(rewards: Iterable[Sequence[float]]) -> np.ndarray:
    """Share of each problem's completions that are right [problems]."""
    return np.array([np.mean(own) for own in rewards])


def pass_at(k: int, rewards: Iterable[Sequence[float]]) -> np.ndarray:
    """Unbiased pass@k [problems], from each problem's rewards."""
    return np.array([pass_at_k(len(own), round(sum(own)), k) for own in rewards])


def rollout_summary(rollouts: Sequence[Rollout]) -> dict[str, Any]:
    """Counts and shares that tell whether rollouts can be trusted and learnt from.

    `wrong_by_kind` is there only if some wrong ones say their kind.
    """
    kinds = wrong_by_kind(rollouts)
    rates = mean_rewards(rewards_by_problem(rollouts).values())
    return {
        "problems": len(rates),
        "rollouts": len(rollouts),
        "tokens": sum(len(r.completion_ids) for r in rollouts),
        "truncated_share": float(np.mean([r.truncated for r in rollouts])),
        "mean_pass_rate": float(rates.mean()),
        "mixed_share": float(((rates > 0) & (rates < 1)).mean()),
        "outcomes": dict(sorted(Counter(r.outcome for r in rollouts).items())),
        **({"wrong_by_kind": kinds} if kinds else {}),
    }


def wrong_by_kind(rollouts: Iterable[Rollout]) -> dict[str, int]:
    """Wrong completions by the kind that their `detail` begins with (`NameError: ...`), commonest first.

    A program that fails an assert of its tests is an `AssertionError`. Completions that say no kind are not counted.
    """
    found = (_KIND.match(rollout.detail or "") for rollout in rollouts if rollout.outcome == "wrong")
    counts = Counter(kind[1] for kind in found if kind)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
