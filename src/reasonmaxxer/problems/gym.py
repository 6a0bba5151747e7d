"""Problems from the procedural tasks of reasoning-gym."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems.draw import check_generated_split
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.problems.text import split_of, text_hash

PREFIX = "reasoning-gym/"
DEFAULT_LIMIT = 500
BATCH = 500
"""Problems generated at once; a batch without a new one means that the task has run dry."""
EVALUATING = (
    "binary_matrix", "bitwise_arithmetic", "countdown", "intermediate_integration", "n_queens", "number_sorting",
    "polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix", "string_insertion",
)  # fmt: skip
"""Tasks whose scorers evaluate text as Python, the answer or the entry; a test finds them in the library's code."""


def gym_problems(config: SourceConfig, seed: int, where: str) -> list[Problem]:
    """Distinct problems of one task and split, `limit` of them or 500.

    A problem belongs to exactly one split, by its text; what a batch makes for the others is
    dropped. The whole entry, as plain JSON, is kept in the metadata for the task's own scorer.

    Args:
        config: the source `reasoning-gym/TASK`, its split, limit and options.
        seed: fixes the draws; the splits draw apart.
        where: field named in errors.

    Raises:
        UserError: unknown task, split or option, an entry that JSON cannot hold, or fewer
            distinct problems than asked for.
    """
    check_generated_split(config.split, where)
    task = config.source.removeprefix(PREFIX)
    limit = config.limit or DEFAULT_LIMIT
    found: dict[str, Problem] = {}
    for batch in count():
        before = len(found)
        for problem in _batch(task, config, f"{config.split} {seed} {batch}", where):
            if split_of(problem.text) == config.split:
                found.setdefault(problem.id, problem)
            if len(found) == limit:
                return list(found.values())
        if len(found) == before:
            break
    raise UserError(
        f"{where}: {config.source} gives only {len(found)} distinct {config.split} problems, fewer "
        f"than {limit}; lower {where}.limit or widen the task with {where}.options."
    )


def _batch(task: str, config: SourceConfig, draw: str, where: str) -> Iterator[Problem]:
    dataset = _dataset(task, config.options, draw, where)
    for index in range(BATCH):
        entry = dataset[index]
        plain = _plain(entry, config.source, where)
        if index == 0:
            _refuse_ungradable(task, plain, where)
        text = str(entry["question"])
        yield Problem(
            id=f"{config.source}/{text_hash(text)[:12]}",
            text=text,
            answer="" if entry["answer"] is None else str(entry["answer"]),
            domain=config.source,
            verifier="reasoning_gym",
            metadata={"task": task, "entry": plain},
        )


def _dataset(task: str, options: Mapping[str, Any], draw: str, where: str) -> Any:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise UserError(
            f"{where}.source: '{PREFIX}{task}' needs pip install 'reasonmaxxer[gym]' ({error})."
        ) from error

    if task not in DATASETS:
        raise UserError(f"{where}.source: reasoning-gym has no task '{task}'.{did_you_mean(task, DATASETS)}")
    reserved = sorted({"seed", "size"} & set(options))
    if reserved:
        raise UserError(f"{where}.options cannot set {' and '.join(reserved)}: use {where}.seed and {where}.limit.")
    # Thirty-one bits apart: a task draws its i-th problem from seed + i, and near seeds overlap.
    seed = int.from_bytes(hashlib.sha256(draw.encode()).digest()[:4], "big") >> 1
    try:
        return reasoning_gym.create_dataset(task, seed=seed, size=BATCH, **options)
    except (TypeError, ValueError, AttributeError, AssertionError) as error:
        raise UserError(f"{where}.options {dict(options)} do not suit reasoning-gym/{task}: {error}") from error


def _plain(entry: Mapping[str, Any], source: str, where: str) -> Any:
    try:
        return json.loads(json.dumps(entry, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: an entry of {source} cannot be kept as JSON ({error}); choose another task."
        ) from error


def _refuse_ungradable(task: str, entry: Mapping[str, Any], where: str) -> None:
    """Refuse a task whose scorer rejects its own answer once the entry has been plain JSON.

    Some scorers compare tuples, which JSON makes lists; tasks without one gold answer cannot tell.
    """
    import reasoning_gym

    answer = entry["answer"]
    if answer is None:
        return
    reward = reasoning_gym.get_score_answer_fn(task)(answer=str(answer), entry=entry)
    if reward != 1:
        raise UserError(
            f"{where}.source: the scorer of reasoning-gym/{task} gives its own answer {reward} "
            f"instead of 1 when the entry is stored; choose another task or leave out options."
        )
