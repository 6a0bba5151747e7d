"""Would it pay to sample a few rollouts of a problem first, and give it up unless they are mixed?

    python benchmarks/screening.py runs/default/rollouts [FOLDER ...]

Reads rollouts that were all sampled (folders of shards, such as a run's `rollouts/`) and counts, for every
number of first rollouts, how many rollouts and tokens a mixed problem would have taken had the others been
given up. No problem is given up when all of its rollouts are sampled first: that is the last row.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from reasonmaxxer.rollouts.collect import read_columns

Group = list[tuple[bool, int]]
"""Rollouts of one problem in the order they were drawn: whether right, and tokens."""


def groups_of(folder: Path) -> list[Group]:
    groups: dict[str, Group] = defaultdict(list)
    for row in read_columns(folder, ("problem_id", "outcome", "completion_ids")):
        groups[row["problem_id"]].append((row["outcome"] == "correct", len(row["completion_ids"])))
    return list(groups.values())


def mixed(group: Group) -> bool:
    return len({right for right, _ in group}) == 2


def screened(groups: Sequence[Group], first: int) -> tuple[float, float, float, float]:
    """Share of problems that go on, rollouts and tokens for each of them, and their mean pass rate."""
    on = [group for group in groups if mixed(group[:first])]
    off = [group for group in groups if not mixed(group[:first])]
    drawn = [r for group in on for r in group] + [r for group in off for r in group[:first]]
    rates = [np.mean([right for right, _ in group]) for group in on]
    tokens = sum(length for _, length in drawn)
    return len(on) / len(groups), len(drawn) / len(on), tokens / len(on), float(np.mean(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    pools = [groups_of(folder) for folder in parser.parse_args().folders]
    table = Table(title=f"{len(pools)} pools of {', '.join(str(len(pool)) for pool in pools)} problems")
    for column in ("sampled first", "go on", "rollouts each", "tokens each", "pass rate"):
        table.add_column(column)
    for first in range(2, min(len(group) for pool in pools for group in pool) + 1):
        rows = np.array([screened(pool, first) for pool in pools])
        share, rollouts, tokens, rate = rows.mean(0)
        table.add_row(str(first), f"{share:.0%}", f"{rollouts:.1f}", f"{tokens:.0f}", f"{rate:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
