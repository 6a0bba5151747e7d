"""A stage at work: where it writes, what it has cost so far, and how far it tells others that it is."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.cost import Meter, StageCost

COST, SCRATCH = "cost.json", "scratch"
AT_WORK, LOOK = "at-work.json", 5.0
"""How far a stage at work is within a shard, written again after so many seconds."""


@dataclass
class StageWork:
    """What a stage's function is given.

    Attributes:
        folder: where to write; it may hold finished shards of an attempt that was killed.
        meter: counts tokens and FLOPs; seconds and memory count themselves.
        spent: by earlier attempts, up to the last durable piece.
        counts: the stage's record, for `stage.json` and whoever reads the stage; JSON values.
    """

    folder: Path
    meter: Meter
    spent: StageCost | None
    counts: Mapping[str, Any] = field(default_factory=dict)
    _saved: StageCost | None = None
    _told: float = 0.0
    _kept: float = 0.0
    _expected: dict[str, int] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        """What is needed no longer once the stage is done; it is removed then."""
        return self.folder / SCRATCH

    @property
    def cost(self) -> StageCost:
        """All attempts at this stage together, up to now."""
        now = self.meter.snapshot()
        return self.spent + now if self.spent else now

    def save_cost(self, piece: Path) -> StageCost:
        """Put the cost so far on record, just before a file takes its name that makes work durable.

        Args:
            piece: the file.
        """
        cost, before = self.cost, self._saved or self.spent
        values = {**asdict(cost), "piece": self._name(piece), "before": before and asdict(before)}
        write_json(values, self.folder / COST)
        self._saved = cost
        return cost

    def keep_time(self) -> None:
        """Put the time so far on record, if it is time to: of a stage that counts all else at its end."""
        if time.monotonic() - self._kept >= LOOK:
            self._kept = time.monotonic()
            self.save_cost(self.folder)

    def expect(self, folder: Path, total: int) -> None:
        """Tell whoever looks at the workspace how many completions a folder will hold."""
        self._expected[self._name(folder)] = total
        self._tell(folder, 0, 0)

    def tell(self, folder: Path, finished: int, tokens: int) -> None:
        """Tell whoever looks at the workspace how far it is, if it is time to.

        Args:
            folder: of the completions at work.
            finished: completions of it.
            tokens: of the shard at work, which the meter does not know yet.
        """
        if time.monotonic() - self._told >= LOOK:
            self._tell(folder, finished, tokens)

    def _tell(self, folder: Path, finished: int, tokens: int) -> None:
        self._told, cost = time.monotonic(), self.cost
        values = {"folder": self._name(folder), "finished": finished, "expected": self._expected}
        write_json({**values, "seconds": cost.seconds, "tokens": cost.tokens + tokens}, self.folder / AT_WORK)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def spent_before(partial: Path) -> StageCost | None:
    """What earlier attempts at a stage have cost, up to the last piece of work that is there."""
    if not (partial / COST).is_file():
        return None
    values = read_json(partial / COST)
    before, piece = values.pop("before", None), values.pop("piece", ".")
    values = values if (partial / piece).exists() else before
    return values and StageCost(**values)
