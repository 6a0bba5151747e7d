"""What others have published about the cost of reinforcement learning, for reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

TABLE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True)
class Published:
    """A row of arXiv 2605.06241, Table 3.

    Attributes:
        model: the base.
        method: what trained it.
        average: mean accuracy over six benchmarks.
        usd: cost of training, US dollars.
        estimated: whether that was worked out from published scripts, and not measured or reported.
    """

    model: str
    method: str
    average: float
    usd: float
    estimated: bool


def published_costs() -> list[Published]:
    """All rows, in the table's order."""
    return [Published(**row) for row in yaml.safe_load(TABLE.read_text(encoding="utf-8"))]
