"""Drawing problems by seed, and saying so when there are too few."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import get_args

from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.text import SplitName


def shuffled(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """A permutation fixed by the seed and the ids alone, whatever the order they come in.

    Ordering by hash rather than by a generator keeps a draw the same under every library version,
    and a longer draw begins with the shorter one.
    """
    return sorted(problems, key=lambda p: hashlib.sha256(f"{seed} {p.id}".encode()).digest())


def take(problems: Sequence[Problem], count: int | None, where: str) -> list[Problem]:
    """The first `count` problems, or all of them.

    Raises:
        UserError: there are fewer.
    """
    if count is not None and count > len(problems):
        raise UserError(
            f"{where}.limit asks for {count} problems but the source has {len(problems)}; "
            "lower it, or set it to null to take all."
        )
    return list(problems[:count])


def check_generated_split(split: str, where: str) -> None:
    """Refuse a split that generated problems do not have.

    Raises:
        UserError: it is not train, validation or test.
    """
    known = get_args(SplitName)
    if split not in known:
        raise UserError(
            f"{where}.split '{split}' is unknown: generated problems have the splits "
            f"{', '.join(known)}.{did_you_mean(split, known)}"
        )
