"""A grading process: one JSON line in, two out. Whatever hangs or dies here harms one item.

For each request it first imports what the grader needs and says that it is ready, such that the time limit of an
item covers the grading alone. An answer for a scorer of reasoning-gym is graded in a fork of this process: what it
does to its process cannot reach the next answer.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

from reasonmaxxer.child import limit_memory
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.gym import EVALUATING
from reasonmaxxer.verify import gym
from reasonmaxxer.verify.conventions import Conventions
from reasonmaxxer.verify.guard import forbid_code, forbid_side_effects
from reasonmaxxer.verify.outcome import Outcome, Verdict
from reasonmaxxer.verify.user_function import ask_function, load_function

Answer = dict[str, "str | None"]
"""Outcome and detail, as they are sent."""
_ORPHAN = 10.0  # seconds past the limit after which no parent is left to kill us


def main(timeout: float, verifier: str) -> None:
    """Answer requests until the parent closes the pipe.

    Args:
        timeout: seconds to grade an item.
        verifier: which grades them all: `math`, `reasoning_gym` or `function`, the user's own.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable(logging.WARNING)
    requests, replies = _take_pipes()
    forks = verifier == "reasoning_gym" and hasattr(os, "fork")
    if not forks:
        forbid_side_effects()
    for line in requests:
        request = json.loads(line)
        try:
            grade = _grader(request)
        except UserError as error:
            _reply(replies, {"refused": str(error)})
            continue
        _reply(replies, {"ready": True})
        _reply(replies, _graded_in_fork(grade, timeout) if forks else _graded_here(grade, timeout))


def _graded_here(grade: Callable[[], Verdict], timeout: float) -> Answer:
    """What a grader answers; the parent of this process keeps the time limit."""
    limit_memory()
    faulthandler.dump_traceback_later(timeout + _ORPHAN, exit=True)
    answer = _graded(grade)
    faulthandler.cancel_dump_traceback_later()
    return answer


def _graded_in_fork(grade: Callable[[], Verdict], timeout: float) -> Answer:
    """What a grader answers in a fork of this process, which an alarm ends at the time limit."""
    readable, writable = os.pipe()
    fork = os.fork()
    if not fork:
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout)
            limit_memory()
            forbid_side_effects()
            os.write(writable, json.dumps(_graded(grade)).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    if status == -signal.SIGALRM:
        return {"outcome": Outcome.TIMEOUT.value, "detail": f"grading took longer than {timeout:g} s"}
    if status or not answer:
        return {"outcome": Outcome.ERROR.value, "detail": f"the grading process died: status {status}"}
    graded: Answer = json.loads(answer)
    return graded


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep the pipes for the protocol, and send what libraries print to standard error."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def _reply(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _grader(request: dict[str, Any]) -> Callable[[], Verdict]:
    """What grades a request, with all that it needs imported and warm.

    Raises:
        UserError: the user's function cannot be loaded.
    """
    if request["verifier"] == "math":
        compare = _warm_comparison()
        conventions = Conventions(**request["conventions"])
        return lambda: compare(request["gold"], request["extracted"], conventions)
    if request["verifier"] == "function":
        function = load_function(request["function"])
        return lambda: ask_function(function, request["completion"], request["answer"], request["metadata"])
    gym.warm(request["task"])
    return lambda: _scored(request["task"], request["entry"], request["extracted"])


def _scored(task: str, entry: dict[str, Any], answer: str) -> Verdict:
    """What the task's scorer says where it may evaluate nothing but formulas, and nothing at all if it has no need.

    Raises:
        PermissionError: a scorer that is not known to evaluate text tried to.
    """
    refused = forbid_code(formulas=task in EVALUATING)
    right = gym.score(task, entry, answer)
    if refused and task not in EVALUATING:
        raise PermissionError(f"the scorer of {task} was kept from evaluating {refused[0]}")
    return right, f"not evaluated: {refused[0]}" if refused else None


@cache
def _warm_comparison() -> Callable[[str, str, Conventions], Verdict]:
    """`maths.compare` after its first call, which builds the parser of math-verify."""
    from reasonmaxxer.verify.maths import compare

    compare(r"\sqrt{2}", r"\sqrt{8}/2")
    forbid_code(formulas=True)
    return compare


def _graded(grade: Callable[[], Verdict]) -> Answer:
    """The outcome and its reason, for a failure of the grader the exception."""
    try:
        same, detail = grade()
    except Exception as error:
        return {"outcome": Outcome.ERROR.value, "detail": repr(error)[:500]}
    outcome = {True: Outcome.CORRECT, False: Outcome.WRONG, None: Outcome.UNPARSED}[same]
    if same is None:
        detail = detail or "the extracted answer does not parse"
    return {"outcome": outcome.value, "detail": detail}
