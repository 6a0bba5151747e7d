"""Procedural tasks, graded by reasoning-gym's own scorers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from reasonmaxxer.problems.answers import last_boxed
from reasonmaxxer.problems.gym import EVALUATING
from reasonmaxxer.sandbox import require_sandbox

_PREFIX = re.compile(r"\W*(?:the\s+)?(?:final\s+)?answer\s*(?:is\b\s*:?|:)\s*", re.IGNORECASE)


def stated_answer(text: str) -> str | None:
    r"""The answer to a procedural task, as text.

    The last `<answer>...</answer>`, else the last `\boxed{...}`, else the last line that is not
    empty, without "The answer is" and the full stop that goes with it.
    """
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, max(end, 0))
    if start >= 0:
        return text[start + len("<answer>") : end].strip() or None
    return last_boxed(text) or _last_line(text)


def _last_line(text: str) -> str | None:
    line = text.rstrip().rpartition("\n")[2].strip()
    prefix = _PREFIX.match(line)
    return (line[prefix.end() :].rstrip(". ") if prefix else line) or None


def score(task: str, entry: Mapping[str, Any], answer: str) -> bool:
    """Whether the task's scorer gives the answer to its entry the full score of 1.

    Raises:
        ValueError: an unknown task.
    """
    return float(_scorer(task)(answer=answer, entry=entry)) == 1.0


def check_task(task: str) -> None:
    """Refuse a task that cannot be graded on this machine.

    Raises:
        UserError: its scorer evaluates text, and there is no sandbox to do it in.
    """
    if task in EVALUATING:
        require_sandbox(f"The scorer of reasoning-gym/{task}, which evaluates text as Python,")


def warm(task: str) -> None:
    """Import and make what the task's scorer needs; what cannot be made fails again where it is asked."""
    with suppress(Exception):
        _scorer(task)


@cache
def _scorer(task: str) -> Callable[..., float]:
    import reasoning_gym

    scorer: Callable[..., float] = reasoning_gym.get_score_answer_fn(task)
    return scorer
