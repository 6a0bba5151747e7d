"""What others print about their models, for reference beside what is measured, from `published.yaml`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).parent / "published.yaml"


@dataclass(frozen=True)
class PublishedScores:
    """Scores of one model: a row of arXiv 2605.06241, Table 3, or of another paper's table.

    Attributes:
        source: the paper and its table.
        model: the base.
        method: what trained it; `base` for nothing.
        scores: accuracy by benchmark.
        printed: their average as the table prints it; None where nothing was trained.
        usd: cost of training, US dollars; likewise.
        estimated: whether the cost was worked out from published scripts, and not measured or reported.
    """

    source: str
    model: str
    method: str
    scores: dict[str, float]
    printed: float | None = None
    usd: float | None = None
    estimated: bool = False

    @property
    def average(self) -> float:
        """Mean of the scores."""
        return sum(self.scores.values()) / len(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON values."""
        named = {"source": self.source, "model": self.model, "method": self.method}
        return {**named, "scores": self.scores, "average": self.average}


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


def published_scores(name: str) -> list[PublishedScores]:
    """The published rows of a base: itself, and what was trained from it. None for a base that is not there.

    Args:
        name: hub id or folder of the base, of which only the last part counts, or an embedded model.
    """
    wanted = {Path(name).name.casefold(), f"embedded {name}"}
    return [row for names, row in _scores() if wanted & names]


def published_costs() -> list[PublishedScores]:
    """Every row of Table 3 that has a cost, in its order."""
    return [row for _, row in _scores() if row.usd is not None]


def published_pairs() -> list[PublishedPair]:
    """Table 2, in its order."""
    return [PublishedPair(**row) for row in _read()["pairs"]]


def published_students() -> list[PublishedStudent]:
    """Table 4, in its order."""
    return [PublishedStudent(**row) for row in _read()["students"]]


def _scores() -> Iterator[tuple[set[str], PublishedScores]]:
    """Every row, with the names that its base goes by; as an embedded model it is `embedded NAME`."""
    for table in _read()["scores"]:
        for family in table["families"]:
            names = {name.casefold() for name in family["names"]}
            for method, row in family["rows"].items():
                scores = dict(zip(table["columns"], row["scores"], strict=True))
                yield names, PublishedScores(table["source"], family["model"], method, **{**row, "scores": scores})


def _read() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return values
