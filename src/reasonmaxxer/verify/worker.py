"""A grading process: one JSON line in, two out. Whatever hangs or dies here harms one item.

For each request it first imports what the grader needs and says that it is ready, such that the time limit of an
item, which its parent keeps, covers the grading alone.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

from reasonmaxxer.child import limit_memory
from reasonmaxxer.errors import UserError
from reasonmaxxer.verify import gym
from reasonmaxxer.verify.conventions import Conventions
from reasonmaxxer.verify.outcome import Outcome, Verdict
from reasonmaxxer.verify.user_function import ask_function, load_function

_ORPHAN = 10.0  # seconds past the limit after which no parent is left to kill us


def main(timeout: float) -> None:
    """Answer requests until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable(logging.WARNING)
    requests, replies = _take_pipes()
    forbid_side_effects()
    for line in requests:
        request = json.loads(line)
        try:
            grade = _grader(request)
        except UserError as error:
            _reply(replies, {"refused": str(error)})
            continue
        limit_memory()
        _reply(replies, {"ready": True})
        faulthandler.dump_traceback_later(timeout + _ORPHAN, exit=True)
        answer = _graded(grade)
        faulthandler.cancel_dump_traceback_later()
        _reply(replies, answer)


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep the pipes for the protocol, and send what libraries print to standard error."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies


def _reply(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def forbid_side_effects() -> None:
    """Make this process unable to write files, start programs or open connections.

    Some scorers of reasoning-gym evaluate the model's answer as Python. This stops accidents, not
    an attacker who is free to run native code.
    """
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)


_FAMILIES = ("shutil.", "socket.", "subprocess.", "os.exec", "os.fork", "os.kill", "os.posix_spawn")
_CALLS = {"os.system", "os.startfile", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link"}
_CALLS |= {"os.symlink", "os.truncate", "os.chmod", "os.chown"}


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    writes = event == "open" and bool(int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if writes or event in _CALLS or event.startswith(_FAMILIES):
        raise PermissionError(f"a grader may not {event} {arguments[:1]}")


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
    import reasoning_gym  # noqa: F401

    return lambda: (gym.score(request["task"], request["entry"], request["extracted"]), None)


@cache
def _warm_comparison() -> Callable[[str, str, Conventions], Verdict]:
    """`maths.compare` after its first call, which builds the parser of math-verify."""
    from reasonmaxxer.verify.maths import compare

    compare(r"\sqrt{2}", r"\sqrt{8}/2")
    return compare


def _graded(grade: Callable[[], Verdict]) -> dict[str, str | None]:
    """The outcome and its reason, for a failure of the grader the exception."""
    try:
        same, detail = grade()
    except Exception as error:
        return {"outcome": Outcome.ERROR.value, "detail": repr(error)[:500]}
    outcome = {True: Outcome.CORRECT, False: Outcome.WRONG, None: Outcome.UNPARSED}[same]
    if same is None:
        detail = detail or "the extracted answer does not parse"
    return {"outcome": outcome.value, "detail": detail}
