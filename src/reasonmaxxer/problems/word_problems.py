"""One-step word problems, generated: an endless supply that a very small model can learn from."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import chain, zip_longest
from math import prod
from random import Random

from reasonmaxxer.problems.draw import check_generated_split, shuffled, take
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.templates import NUMBERS, TEMPLATES, Template
from reasonmaxxer.problems.text import split_of, text_hash

DOMAIN = "word-problems"
PER_TEMPLATE = 1250
"""Problems made of each template; with the templates it fixes the whole pool."""


def word_problems(split: str, count: int | None, seed: int, where: str = DOMAIN) -> list[Problem]:
    """Distinct one-step problems of one split, the four operations in turn.

    Args:
        split: `train`, `validation` or `test`; a problem belongs to exactly one, by its text.
        count: how many; None for all (about 16,000, 2,000 and 2,000).
        seed: which ones and in what order; a longer draw begins with the shorter one.
        where: field named in errors.

    Raises:
        UserError: unknown split, or more problems asked for than there are.
    """
    check_generated_split(split, where)
    drawn = shuffled(_pool()[split], seed)
    by_operation = ([p for p in drawn if p.metadata["operation"] == name] for name in NUMBERS)
    in_turn = chain.from_iterable(zip_longest(*by_operation))
    return take([problem for problem in in_turn if problem], count, where)


@lru_cache(maxsize=1)
def _pool() -> dict[str, list[Problem]]:
    pool: dict[str, list[Problem]] = defaultdict(list)
    for number, template in enumerate(TEMPLATES):
        for index in _distinct_indices(_fillings(template), Random(number)):
            problem = _problem(template, index)
            pool[split_of(problem.text)].append(problem)
    return dict(pool)


def _fillings(template: Template) -> int:
    words = prod(len(choices) for choices in template.words.values())
    return words * len(NUMBERS[template.operation])


def _distinct_indices(size: int, random: Random) -> list[int]:
    chosen: dict[int, None] = {}
    while len(chosen) < PER_TEMPLATE:
        chosen[random.randrange(size)] = None
    return list(chosen)


def _problem(template: Template, index: int) -> Problem:
    """The filling of that index, read as mixed-radix digits: numbers first, then each word."""
    index, digit = divmod(index, len(NUMBERS[template.operation]))
    a, b, answer = NUMBERS[template.operation][digit]
    words = {}
    for blank, choices in template.words.items():
        index, digit = divmod(index, len(choices))
        words[blank] = choices[digit]
    text = template.text.format(a=a, b=b, **words)
    return Problem(
        id=f"{DOMAIN}/{text_hash(text)[:12]}",
        text=text,
        answer=str(answer),
        domain=DOMAIN,
        metadata={"template": template.name, "operation": template.operation},
    )
