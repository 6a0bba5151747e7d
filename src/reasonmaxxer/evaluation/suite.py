"""What a model scores on a benchmark, in all and by part, and the protocol it was measured by."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reasonmaxxer import __version__
from reasonmaxxer.config import SourceConfig, SuiteConfig
from reasonmaxxer.evaluation.evaluate import rollout_summary
from reasonmaxxer.evaluation.metrics import bootstrap, bootstrap_average, pass_at_k
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.benchmarks import provenance
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Outcome
from reasonmaxxer.verify.extract import resolve_extraction
from reasonmaxxer.verify.second import agreement

TRUNCATED = 0.1
"""Share of completions cut at the length limit above which a score must not be read without it."""
PARTS = ("level", "subject", "answer_type")
"""Metadata by which scores are given apart."""


@dataclass(frozen=True)
class Protocol:
    """How a score was measured; two scores compare where theirs are equal.

    Attributes:
        metric: what `accuracy` is: `pass@1`, `avg@N`, or `greedy pass@1`.
        samples: completions a problem.
        prompt_style: how problems became prompts.
        temperature: of sampling; 0 is greedy.
        top_p: nucleus mass.
        max_new_tokens: longest completion, tokens.
        extraction: where the answer was read.
        seed: of every draw.
        engine: that sampled, with its version.
        dtype: type of the weights.
        data: where the problems come from, with the revision where it is pinned.
        problems: how many were asked.
        problems_hash: SHA-256 of their texts and answers, in order.
        package_version: of reasonmaxxer.
    """

    metric: str
    samples: int
    prompt_style: str
    temperature: float
    top_p: float
    max_new_tokens: int
    extraction: str
    seed: int
    engine: str
    dtype: str
    data: Mapping[str, str]
    problems: int
    problems_hash: str
    package_version: str

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON values."""
        return asdict(self)


def protocol_of(
    config: SuiteConfig,
    source: SourceConfig,
    problems: Sequence[Problem],
    samples: int,
    engine: str,
    dtype: str,
) -> Protocol:
    """The protocol of one benchmark.

    Args:
        config: of the evaluation.
        source: of the problems.
        problems: all that are asked.
        samples: completions a problem.
        engine: name and version of what samples.
        dtype: type of the weights.
    """
    return Protocol(
        metric=metric_name(samples, config.temperature),
        samples=samples,
        prompt_style=config.prompt_style,
        temperature=config.temperature,
        top_p=config.top_p,
        max_new_tokens=config.max_new_tokens,
        extraction=resolve_extraction(config.verify.extraction, config.prompt_style),
        seed=config.seed,
        engine=engine,
        dtype=dtype,
        data=provenance(source),
        problems=len(problems),
        problems_hash=problems_hash(problems),
        package_version=__version__,
    )


def metric_name(samples: int, temperature: float) -> str:
    """What the mean over problems of the share of right completions is called."""
    if temperature == 0:
        return "greedy pass@1"
    return "pass@1" if samples == 1 else f"avg@{samples}"


def problems_hash(problems: Iterable[Problem]) -> str:
    """SHA-256 over texts and answers, in order; ids and metadata do not count."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(f"{problem.text}\0{problem.answer}\0\0".encode())
    return digest.hexdigest()


def pass_rates(problems: Sequence[Problem], rollouts: Iterable[Rollout]) -> np.ndarray:
    """Share of each problem's completions that are right [problems]."""
    rewards = _rewards(rollouts)
    return np.array([np.mean(rewards[problem.id]) for problem in problems])


def measure(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], config: SuiteConfig
) -> dict[str, Any]:
    """Scores of one benchmark as JSON values, with intervals over its problems.

    Args:
        problems: all that were asked.
        rollouts: as many of each.
        config: which k, and how intervals are drawn.

    Returns:
        `accuracy`, `pass_at`, `by` (scores by level, subject and type of answer), and of all completions
        `outcomes`, `truncated_share`, `mean_tokens` and `second_checker` (docs/grading.md).
    """
    rates = pass_rates(problems, rollouts)
    rewards = _rewards(rollouts)
    found = rollout_summary(rollouts)
    return {
        "accuracy": _estimate(rates, config),
        "pass_at": [
            {"k": k}
            | _estimate(
                [pass_at_k(len(rewards[p.id]), round(sum(rewards[p.id])), k) for p in problems],
                config,
            )
            for k in config.ks
        ],
        "by": {name: part for name in PARTS if (part := _by(name, problems, rates, config))},
        "outcomes": found["outcomes"],
        "truncated_share": found["truncated_share"],
        "mean_tokens": found["tokens"] / found["rollouts"],
        "second_checker": _second_checker(problems, rollouts),
    }


def _second_checker(problems: Sequence[Problem], rollouts: Sequence[Rollout]) -> dict[str, int]:
    """How often a checker that shares no code with the verifier would have graded the other way."""
    by_id = {problem.id: problem for problem in problems}
    found = agreement((by_id[r.problem_id], r.extracted, Outcome(r.outcome)) for r in rollouts)
    return {
        "compared": found.compared,
        "disagreed": len(found.disagreements),
        "undecided": found.undecided,
    }


def average(rates: Sequence[np.ndarray], config: SuiteConfig) -> dict[str, Any]:
    """Mean over benchmarks, each counting alike, with an interval over the problems of each.

    Args:
        rates: pass rates [problems] of each benchmark.
        config: how intervals are drawn.
    """
    return bootstrap_average(rates, config.bootstrap, config.confidence, config.seed).to_dict()


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


def _by(
    name: str, problems: Sequence[Problem], rates: np.ndarray, config: SuiteConfig
) -> list[dict[str, Any]]:
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
