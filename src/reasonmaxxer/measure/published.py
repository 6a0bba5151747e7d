"""Accuracies that arXiv 2605.06241 prints in Table 3, for reference beside what is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True)
class PublishedScores:
    """A row of Table 3.

    Attributes:
        model: the base.
        method: what trained it; `base` for nothing.
        scores: accuracy by benchmark.
        average: their mean.
    """

    model: str
    method: str
    scores: dict[str, float]
    average: float

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON values."""
        return asdict(self)


def published_scores(name: str) -> list[PublishedScores]:
    """The rows of a base: itself, and what was trained from it. None for a base that is not there.

    Args:
        name: hub id or folder of the base; only its last part counts.
    """
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    wanted = Path(name).name.casefold()
    return [
        PublishedScores(
            family["model"], method, dict(zip(table["columns"], scores, strict=True)), sum(scores) / len(scores)
        )
        for family in table["families"]
        if wanted in map(str.casefold, family["names"])
        for method, scores in family["rows"].items()
    ]
