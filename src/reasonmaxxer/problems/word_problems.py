"""One-step word problems, generated: an endless supply that a very small model can learn from.

`word_problems.yaml` holds the wordings. A wording's numbers and words vary independently of each other, so every
filling has an index, and the pool is a fixed draw of indices. Only the choice from the pool depends on a seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from math import prod
from pathlib import Path
from random import Random

import yaml

from reasonmaxxer.problems.draw import check_generated_split, shuffled, take
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.text import split_of, text_hash

DOMAIN = "word-problems"
PER_TEMPLATE = 1250
"""Problems made of each wording; with the wordings it fixes the whole pool."""
TABLE = Path(__file__).with_suffix(".yaml")

_TO_TEN = range(2, 11)
_TO_SIX = range(2, 7)
NUMBERS: Mapping[str, Sequence[tuple[int, int, int]]] = {
    "add": [(a, b, a + b) for a in _TO_TEN for b in _TO_TEN],
    "subtract": [(a + b, a, b) for a in _TO_SIX for b in _TO_SIX],
    "multiply": [(a, b, a * b) for a in _TO_SIX for b in _TO_SIX],
    "divide": [(a * b, a, b) for a in _TO_SIX for b in _TO_SIX],
}
"""By operation, the numbers {a} and {b} of a problem and its answer."""


@dataclass(frozen=True)
class Template:
    """A wording with blanks.

    Attributes:
        name: what the problem's metadata calls it.
        operation: what solves it, a key of `NUMBERS`.
        text: the wording; {a} and {b} are numbers, the other blanks are in `words`.
        words: what may stand in each blank, independently of the others.
    """

    name: str
    operation: str
    text: str
    words: Mapping[str, Sequence[str]]


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
    for number, template in enumerate(_templates()):
        for index in _distinct_indices(_fillings(template), Random(number)):
            problem = _problem(template, index)
            pool[split_of(problem.text)].append(problem)
    return dict(pool)


def _templates() -> list[Template]:
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    lists = table["lists"]
    return [
        Template(
            name,
            entry["operation"],
            entry["text"],
            {blank: [word for of in named for word in lists[of]] for blank, named in entry["words"].items()},
        )
        for name, entry in table["templates"].items()
    ]


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
