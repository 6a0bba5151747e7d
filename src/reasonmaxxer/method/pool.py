"""Rollouts by problem, and what a pool of problems is worth before anything is trained on it, in words."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reasonmaxxer.rollouts.table import Rollout

MANY = 0.1
"""Share of rollouts cut off or without an answer that is worth a warning."""

RARELY = 0.1
"""Pass rate below which the base is beyond the edge of its competence."""


@dataclass(frozen=True)
class Group:
    """All rollouts of one problem."""

    problem_id: str
    rollouts: list[Rollout]

    @property
    def pass_rate(self) -> float:
        """Share of correct rollouts."""
        return float(np.mean([r.reward for r in self.rollouts]))

    @property
    def mixed(self) -> bool:
        """Whether some are right and some are not."""
        return 0 < self.pass_rate < 1


def group_rollouts(rollouts: Iterable[Rollout]) -> list[Group]:
    """Rollouts by problem, in order of first appearance."""
    groups: dict[str, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        groups[rollout.problem_id].append(rollout)
    return [Group(problem_id, members) for problem_id, members in groups.items()]


@dataclass(frozen=True)
class Pool:
    """Counts over all rollouts of the training problems.

    Attributes:
        problems: in the pool.
        mixed: of them, solved by some rollouts and not by others.
        solved: of them, solved by every rollout.
        pass_rate: share of correct rollouts.
        truncated: share of rollouts cut at the length limit.
        unparsed: share of rollouts in which no answer was found.
    """

    problems: int
    mixed: int
    solved: int
    pass_rate: float
    truncated: float
    unparsed: float

    @classmethod
    def of(cls, groups: Sequence[Group]) -> Pool:
        """Count a pool."""
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        return cls(
            problems=len(groups),
            mixed=sum(group.mixed for group in groups),
            solved=sum(group.pass_rate == 1 for group in groups),
            pass_rate=sum(r.reward for r in rollouts) / len(rollouts),
            truncated=sum(r.truncated for r in rollouts) / len(rollouts),
            unparsed=sum(r.outcome == "unparsed" for r in rollouts) / len(rollouts),
        )

    def size_for(self, mixed: int) -> int:
        """Problems of this kind that would hold so many mixed ones, rounded up to tens."""
        return 10 * math.ceil(mixed * self.problems / max(1, self.mixed) / 10)


def pool_warnings(pool: Pool, planned: int, wanted: int, max_new_tokens: int) -> list[str]:
    """What makes these rollouts a poor teacher, and what to change; nothing if all is well.

    Args:
        pool: what has been sampled so far.
        planned: problems there will be in the end.
        wanted: mixed problems the recipe asks for.
        max_new_tokens: length limit the rollouts had.
    """
    warnings = []
    expected = round(pool.mixed * planned / pool.problems)
    if expected < wanted:
        rest = f", so about {expected} of all {planned} would be" if planned > pool.problems else ""
        size = f"{'more than ' if pool.mixed == 0 else 'about '}{pool.size_for(wanted)}"
        warnings.append(
            f"Only {pool.mixed} of {pool.problems} problems are mixed (solved sometimes, not always)"
            f"{rest}; signal.problems asks for {wanted}. That takes {size} problems of this kind "
            f"(problems.train.limit={pool.size_for(wanted)}). {_harder(pool)}"
        )
    if pool.truncated > MANY:
        warnings.append(
            f"{pool.truncated:.0%} of rollouts were cut at rollouts.max_new_tokens = {max_new_tokens}; "
            "what they would have said after it is not seen. Raise it if answers are missing."
        )
    if pool.unparsed > MANY:
        warnings.append(
            f"No answer was found in {pool.unparsed:.0%} of rollouts. See verify.extraction, of programs "
            "problems.prompt_style."
        )
    return warnings


def no_mixed_problem(pool: Pool) -> str:
    """Why nothing can be learnt from a pool without a mixed problem, and what to change."""
    text = (
        f"No problem is mixed: of {pool.problems} problems the base always solves {pool.solved} and never "
        f"solves {pool.problems - pool.solved} ({pool.truncated:.0%} of rollouts truncated, "
        f"{pool.unparsed:.0%} without an answer)."
    )
    if pool.truncated > 0.5:
        return f"{text} Raise rollouts.max_new_tokens: most rollouts are cut before their end."
    if pool.unparsed > 0.5:
        return f"{text} Set verify.extraction or problems.prompt_style: answers are not found."
    if 2 * pool.solved > pool.problems:
        return f"{text} Choose harder problems (problems.train.source)."
    return (
        f"{text} Choose easier problems (problems.train.source), more of them "
        "(problems.train.limit) or more rollouts each (rollouts.rollouts_per_problem)."
    )


def _harder(pool: Pool) -> str:
    """Which way the pool misses the edge of competence."""
    if pool.solved > pool.problems / 2:
        return (
            f"The base always solves {pool.solved} of them: harder problems would teach more (problems.train.source)."
        )
    if pool.pass_rate < RARELY:
        return (
            f"The base is right in {pool.pass_rate:.0%} of rollouts: problems this hard teach little, "
            "and training on few of them can do harm. Easier problems (problems.train.source) or more "
            "rollouts each (rollouts.rollouts_per_problem) would help more than a larger pool."
        )
    return "More rollouts each (rollouts.rollouts_per_problem) make more of them mixed."
