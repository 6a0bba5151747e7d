"""Drawing problems by seed, and saying so when there are too few."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
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


def keep(problems: Sequence[Problem], wanted: Mapping[str, Sequence[Hashable]], where: str) -> list[Problem]:
    """Problems whose metadata has one of the wanted values under every wanted name.

    Args:
        problems: to choose from.
        wanted: values by name, such as `{"level": (3, 4, 5)}`; a problem without the name is left out.
        where: field named in errors.

    Raises:
        UserError: no problem has such a name, or none the values.
    """
    for name, values in wanted.items():
        there = {p.metadata[name] for p in problems if name in p.metadata}
        if not there:
            known = {key for p in problems for key in p.metadata}
            raise UserError(
                f"{where}.{name}: no problem has '{name}'.{did_you_mean(name, known)} There are: "
                f"{', '.join(sorted(known))}."
            )
        if there.isdisjoint(values):
            raise UserError(
                f"{where}.{name}: no problem has {' or '.join(map(repr, values)) or 'no value'}; there "
                f"are {', '.join(sorted(map(repr, there))[:9])}."
            )
        problems = [p for p in problems if p.metadata.get(name) in values]
    return list(problems)


def stratified(problems: Sequence[Problem], count: int, seed: int, by: str) -> list[Problem]:
    """`count` problems, of each stratum in proportion to its size, in their own order.

    Shares are rounded by largest remainder, of equal remainders the larger stratum's first; within a
    stratum `shuffled` decides, so that a larger sample holds nearly all of a smaller one.

    Args:
        problems: to draw from; all come back where they are no more than `count`.
        count: how many.
        seed: which ones.
        by: metadata that names the stratum; problems without it make one together.
    """
    if count >= len(problems):
        return list(problems)
    strata: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        strata[str(problem.metadata.get(by))].append(problem)
    shares = {name: divmod(count * len(of), len(problems)) for name, of in strata.items()}
    takes = {name: whole for name, (whole, _) in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], -len(strata[name]), name))
    for name in by_remainder[: count - sum(takes.values())]:
        takes[name] += 1
    drawn = {problem.id for name, stratum in strata.items() for problem in shuffled(stratum, seed)[: takes[name]]}
    return [problem for problem in problems if problem.id in drawn]


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
