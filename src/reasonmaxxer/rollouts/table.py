"""The rollout table: token ids as sampled, what the model thought, and how it was graded."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import pyarrow as pa

from reasonmaxxer.artifacts import schema

_STRINGS = ("outcome", "extracted", "detail", "engine", "engine_version", "engine_settings")
SCHEMA = schema(
    {
        "problem_id": pa.string(),
        "rollout": pa.int32(),
        "seed": pa.int64(),
        **dict.fromkeys(("prompt_ids", "completion_ids"), pa.list_(pa.int32())),
        **dict.fromkeys(("text", "finish_reason"), pa.string()),
        **dict.fromkeys(("entropy", "logprob"), pa.list_(pa.float32())),
        **dict.fromkeys(_STRINGS, pa.string()),
    },
    nullable=("entropy", "logprob", "extracted", "detail"),
)


@dataclass(frozen=True)
class Rollout:
    """One completion of one problem; a row of the table.

    Attributes:
        problem_id: the problem.
        rollout: index within the problem's group.
        seed: seed it was drawn with.
        prompt_ids: rendered prompt.
        completion_ids: T sampled tokens, the end-of-sequence token included.
        text: the completion decoded, without special tokens; for people and verifiers only.
        finish_reason: `stop` or `length`.
        entropy: T raw entropies in nats, or None where they were not recorded.
        logprob: T raw log-probabilities in nats of the sampled tokens, or None likewise.
        outcome: `correct`, `wrong`, `unparsed`, `timeout` or `error`; empty before it is graded.
        extracted: the answer the verifier read, if any; of code, the program.
        detail: why it has this outcome, where the verifier says so.
        engine: what sampled it, or `imported`.
        engine_version: its version.
        engine_settings: what the completion depends on beside prompt, seed and weights, as JSON; empty
            where it is not known.
    """

    problem_id: str
    rollout: int
    seed: int
    prompt_ids: list[int]
    completion_ids: list[int]
    text: str
    finish_reason: str
    entropy: list[float] | None = None
    logprob: list[float] | None = None
    outcome: str = ""
    extracted: str | None = None
    detail: str | None = None
    engine: str = ""
    engine_version: str = ""
    engine_settings: str = ""

    @property
    def reward(self) -> float:
        """1 for a correct completion, 0 for every other outcome."""
        return float(self.outcome == "correct")

    @property
    def truncated(self) -> bool:
        """Whether the length limit cut it."""
        return self.finish_reason == "length"


def rollout_table(rollouts: Iterable[Rollout]) -> pa.Table:
    """Rows as a table of `SCHEMA`."""
    return pa.Table.from_pylist([asdict(rollout) for rollout in rollouts], schema=SCHEMA)


def rollouts_from_table(table: pa.Table) -> list[Rollout]:
    """Rows back from a table."""
    names = [field.name for field in fields(Rollout) if field.name in table.column_names]
    return [Rollout(**{name: row[name] for name in names}) for row in table.to_pylist()]
