"""The order in which sequences are trained on: mixed, and neighbours where they share a prompt."""

import math
from collections.abc import Sequence

import numpy as np

RUN = 4
"""Sequences of one problem side by side: more save little more, and a step should mix problems."""


def group_order(prompts: Sequence[Sequence[int]], advantages: Sequence[float], seed: int) -> list[int]:
    """Order of training: shuffled, but for runs of about `RUN` sequences of one problem.

    A problem's right and wrong sequences are dealt evenly to its runs, so that its advantages, which sum to
    zero over the problem, nearly do so in each run: a step contrasts, rather than pushing all it sees up or
    down.

    Args:
        prompts: of each sequence.
        advantages: of each sequence.
        seed: of the shuffle.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index in sorted(range(len(prompts)), key=lambda i: -advantages[i]):
        groups.setdefault(tuple(prompts[index]), []).append(index)
    runs = []
    for prompt in dict.fromkeys(tuple(prompt) for prompt in prompts):
        count = math.ceil(len(groups[prompt]) / RUN)
        runs += [groups[prompt][first::count] for first in range(count)]
    shuffled = np.random.default_rng(seed).permutation(len(runs))
    return [index for run in shuffled for index in runs[run]]
