"""What arXiv 2605.06241 prints about other models, for reference beside what was measured here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parent / "published.yaml"
MARK = "published, other models"
"""Said of every such row."""


@dataclass(frozen=True)
class PublishedPair:
    """A row of Table 2.

    Attributes:
        pair: base and what tuned it.
        reranked: share of positions.
        shifted: share of positions.
        entropy_ratio: mean entropy of the base at reranked over that at unshifted positions.
        mean_rank: of the tuned model's choice under the base, where it differs.
    """

    pair: str
    reranked: float
    shifted: float
    entropy_ratio: float
    mean_rank: float

    @property
    def changed(self) -> float:
        """Share of positions at which the choices differ."""
        return self.reranked + self.shifted


@dataclass(frozen=True)
class PublishedStudent:
    """A row of Table 4: an adapter, its parameters as printed, and pass@1 on MATH-500."""

    name: str
    parameters: str
    accuracy: float


def published_pairs() -> list[PublishedPair]:
    """Table 2, in its order."""
    return [PublishedPair(**row) for row in _read()["divergence"]]


def published_students() -> list[PublishedStudent]:
    """Table 4, in its order."""
    return [PublishedStudent(**row) for row in _read()["distillation"]]


def _read() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return values
