"""The unit everything starts from: one question with one verifiable answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Problem:
    """A question whose answer a verifier can check.

    Attributes:
        id: unique within its source and stable between runs.
        text: the question alone, before any prompt style.
        answer: the gold answer, as text.
        domain: what kind of problem it is; results can be grouped by it.
        verifier: who grades it: `math` (numbers and LaTeX), `reasoning_gym` (its own scorer) or `code` (tests of a
            program; the gold answer is then a reference solution, whole).
        metadata: JSON values the verifier or the reader needs (task, level, subject, ...; `problems.code` has those
            of a program).
    """

    id: str
    text: str
    answer: str
    domain: str
    verifier: Literal["math", "reasoning_gym", "code"] = "math"
    metadata: Mapping[str, Any] = field(default_factory=dict)
