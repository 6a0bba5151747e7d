"""What a pool of problems is worth before anything is trained on it, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reasonmaxxer.method.selection import Group

MANY = 0.1
"""Share of rollouts cut off or without an answer that is worth a warning."""

RARELY = 0.1
"""Pass rate below which the base is beyond the edge of its competence."""


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
    said = []
    expected = round(pool.mixed * planned / pool.problems)
    if expected < wanted:
        rest = f", so about {expected} of all {planned} would be" if planned > pool.problems else ""
        size = f"{'more than ' if pool.mixed == 0 else 'about '}{pool.size_for(wanted)}"
        said.append(
            f"Only {pool.mixed} of {pool.problems} problems are mixed (solved sometimes, not always)"
            f"{rest}; signal.problems asks for {wanted}. That takes {size} problems of this kind "
            f"(problems.train.limit={pool.size_for(wanted)}). {_harder(pool)}"
        )
    if pool.truncated > MANY:
        said.append(
            f"{pool.truncated:.0%} of rollouts were cut at rollouts.max_new_tokens = {max_new_tokens}; "
            "what they would have said after it is not seen. Raise it if answers are missing."
        )
    if pool.unparsed > MANY:
        said.append(f"No answer was found in {pool.unparsed:.0%} of rollouts. See verify.extraction.")
    return said


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
