"""What a verifier answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    """Outcome of grading one completion; only `CORRECT` earns a reward.

    `UNPARSED` means no answer could be read, `TIMEOUT` that grading it took too long and `ERROR`
    that the grader failed: none of the three says that the answer is wrong.
    """

    CORRECT = "correct"
    WRONG = "wrong"
    UNPARSED = "unparsed"
    TIMEOUT = "timeout"
    ERROR = "error"


Verdict = tuple["bool | None", "str | None"]
"""What a grader says of an answer: right, wrong, or none if it cannot be read; and why, where that needs a reason."""


@dataclass(frozen=True)
class Grade:
    """The outcome of one completion.

    Attributes:
        outcome: what was decided.
        extracted: the answer read from the completion, none if there was none.
        detail: why, for outcomes that need a reason.
    """

    outcome: Outcome
    extracted: str | None
    detail: str | None = None

    @property
    def reward(self) -> float:
        """1.0 if correct, else 0.0."""
        return float(self.outcome is Outcome.CORRECT)
