"""What the stages of a run put on record in `stage.json`, and so tell each other and `summary.json`."""

from typing import Any, TypedDict

from typing_extensions import NotRequired

GateValues = dict[str, Any]
"""`Gate.to_dict()`; `Gate(**values)` reads it back."""


class RolloutCounts(TypedDict):
    """What `measure.rollouts.rollout_summary` gives."""

    problems: int
    rollouts: int
    tokens: int
    truncated_share: float
    mean_pass_rate: float
    mixed_share: float
    outcomes: dict[str, int]
    wrong_by_kind: NotRequired[dict[str, int]]


class SelectionCounts(TypedDict):
    """Problems kept, sequences that teach, and their completion tokens."""

    problems: int
    sequences: int
    tokens: int


class SignalCounts(SelectionCounts):
    """The gates that will be trained, in order; everywhere else a gate is known by its number here."""

    gates: list[GateValues]


class CheckpointCost(TypedDict):
    """What the training stage had cost at one checkpoint, beside its other numbers of `StageCost`."""

    gate: int
    step: int
    stage: str
    tokens: int
    flops: float
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    usd: float | None


class RoundCounts(TypedDict):
    """One of several rounds: what was sampled, with which gate it taught, and the best of its checkpoints."""

    round: int
    rollouts: RolloutCounts
    gate: GateValues
    sequences: int
    tokens: int
    steps: int
    validation_accuracy: float


class TrainingRecord(TypedDict):
    """The training behind the chosen checkpoint, later rounds included: `gate_number` says which gate of a sweep,
    `tokens` is None of a method that samples for itself, `rounds` empty where there is but one."""

    method: str
    gate_number: int
    steps: int
    planned_steps: int
    sequences: int
    tokens: int | None
    checkpoint: str
    validation_accuracy: float
    validation_problems: int
    checkpoints: list[CheckpointCost]
    rounds: list[RoundCounts]


class TrainingCounts(TrainingRecord):
    """With the gate that was chosen; None of a baseline."""

    gate: GateValues | None


class EvaluationCounts(TypedDict):
    """The model that was measured, with and without its adapter."""

    model: dict[str, str]
