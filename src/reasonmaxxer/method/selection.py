"""The edge of competence: problems the base sometimes solves, and the rollouts that teach."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from reasonmaxxer.artifacts import schema
from reasonmaxxer.config import SignalConfig
from reasonmaxxer.errors import NothingToLearnError
from reasonmaxxer.method.advantages import advantages
from reasonmaxxer.method.draws import keyed_random
from reasonmaxxer.method.pool import Group, Pool, no_mixed_problem
from reasonmaxxer.rollouts.table import Rollout

SCHEMA = schema(
    {
        "problem_id": pa.string(),
        "rollout": pa.int32(),
        **dict.fromkeys(("prompt_ids", "completion_ids"), pa.list_(pa.int32())),
        **dict.fromkeys(("entropy", "logprob"), pa.list_(pa.float32())),
        "advantage": pa.float64(),
    }
)
_OF_ROLLOUT = ("problem_id", "rollout", "prompt_ids", "completion_ids", "entropy", "logprob")


@dataclass(frozen=True)
class Example:
    """One rollout that teaches; a row of the signal table.

    Attributes:
        problem_id: the problem.
        rollout: index within the problem's group.
        prompt_ids: rendered prompt.
        completion_ids: T sampled tokens.
        entropy: T entropies of the base in nats.
        logprob: T log-probabilities in nats of the tokens under the base.
        advantage: from the problem's whole group of rollouts.
    """

    problem_id: str
    rollout: int
    prompt_ids: list[int]
    completion_ids: list[int]
    entropy: list[float]
    logprob: list[float]
    advantage: float

    @property
    def key(self) -> str:
        """Identity within the run."""
        return f"{self.problem_id}#{self.rollout}"


def select_groups(groups: Sequence[Group], count: int) -> list[Group]:
    """The `count` mixed groups nearest pass rate one half (arXiv 2605.06241, Section 5).

    Ties go to fewer truncated rollouts, then to shorter completions, then by problem id.

    Raises:
        NothingToLearnError: no group is mixed; it says what the rollouts looked like and what to change.
    """
    mixed = [group for group in groups if group.mixed]
    if not mixed:
        raise NothingToLearnError(no_mixed_problem(Pool.of(groups)))
    return sorted(mixed, key=_distance_from_edge)[:count]


def _distance_from_edge(group: Group) -> tuple[float, int, float, str]:
    lengths = [len(r.completion_ids) for r in group.rollouts]
    truncated = sum(r.truncated for r in group.rollouts)
    return abs(group.pass_rate - 0.5), truncated, float(np.mean(lengths)), group.problem_id


def examples_of(groups: Sequence[Group], config: SignalConfig, seed: int) -> list[Example]:
    """Rollouts of the selected groups with their advantages.

    Advantages come from whole groups; only then some are left out: those of advantage zero, which teach nothing and
    would cost a step, all but a few of a problem, and the longest of all.

    Args:
        groups: selected groups, every rollout with entropies and log-probabilities.
        config: kind of advantage, rollouts of a problem, and trimming.
        seed: of the controls' draws.
    """
    teaching = [example for group in groups for example in _of_group(group, config, seed)]
    by_length = sorted(teaching, key=lambda e: (len(e.completion_ids), e.key))
    dropped = {e.key for e in by_length[len(by_length) - int(config.trim_longest * len(by_length)) :]}
    return [e for e in teaching if e.key not in dropped]


def _of_group(group: Group, config: SignalConfig, seed: int) -> list[Example]:
    """Rollouts of a problem that teach; of too many the half with the highest and that with the lowest advantages."""
    rewards = [rollout.reward for rollout in group.rollouts]
    found = advantages(rewards, config, keyed_random(seed, group.problem_id))
    examples = [example_of(rollout, float(a)) for rollout, a in zip(group.rollouts, found, strict=True) if a]
    wanted = config.rollouts
    if wanted is None or wanted >= len(examples):
        return examples
    ranked = sorted(examples, key=lambda e: -e.advantage)  # equals stay in order
    kept = {e.key for e in [*ranked[: wanted - wanted // 2], *ranked[len(ranked) - wanted // 2 :]]}
    return [e for e in examples if e.key in kept]


def example_of(rollout: Rollout, advantage: float) -> Example:
    """A rollout that was scored, as it teaches."""
    if rollout.entropy is None or rollout.logprob is None:
        raise ValueError(f"{rollout.problem_id}#{rollout.rollout} was not scored")
    return Example(**{name: getattr(rollout, name) for name in _OF_ROLLOUT}, advantage=advantage)


def example_table(examples: Iterable[Example]) -> pa.Table:
    """Rows as a table of `SCHEMA`."""
    return pa.Table.from_pylist([asdict(example) for example in examples], schema=SCHEMA)


def examples_from_table(table: pa.Table) -> list[Example]:
    """Rows back from a table."""
    return [Example(**row) for row in table.to_pylist()]
