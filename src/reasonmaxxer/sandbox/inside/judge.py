"""Decides whether a program passes its tests: runs them, and asks the program for values over a private descriptor.

Each program is judged in a fork of its own, so that none can change what the next one meets.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import random
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any

from reasonmaxxer.sandbox.inside.program import limit
from reasonmaxxer.sandbox.inside.proxy import Program
from reasonmaxxer.sandbox.inside.reference import BrokenError, FailureError
from reasonmaxxer.sandbox.inside.values import Channel


def main(memory: int, files: int, seconds: int, descriptor: int) -> None:
    """Answer requests, each with a program's descriptor beside it, until the parent closes its end.

    Args:
        memory, files, seconds: bounds of each fork, see `program.main`.
        descriptor: of the socket over which programs' descriptors come.
    """
    passing, replies = socket.socket(fileno=descriptor), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    for line in sys.stdin:
        _, (program,), _, _ = socket.recv_fds(passing, 1, 1)
        child = os.fork()
        if not child:
            limit(memory, files, seconds)
            _reply(replies, _judged(json.loads(line), Channel(program, program)))
            os._exit(0)
        os.close(program)
        _, status = os.waitpid(child, 0)
        if status:
            _reply(replies, {"outcome": "wrong", "detail": "MemoryError: the tests ended early on what it returned"})


def _reply(replies: int, message: Mapping[str, Any]) -> None:
    os.write(replies, json.dumps(message).encode() + b"\n")


def _judged(request: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    try:
        _run_tests(request, Program(channel))
    except BrokenError as error:
        return {"outcome": "error", "detail": str(error)[:500]}
    except FailureError as error:
        return {"outcome": "wrong", "detail": ": ".join(error.args)[:500]}
    except BaseException as error:
        return {"outcome": "wrong", "detail": _told(error, request["tests"])[:500]}
    return {"outcome": "correct", "detail": None}


def _told(error: BaseException, tests: Sequence[str]) -> str:
    """Type of an exception, its message, and the line of the tests at which it was raised."""
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<tests")]
    said = str(error).strip()[:200]
    if places:
        lines = tests[int(places[-1].filename[6:-1])].splitlines()
        said = "; ".join(part for part in (said, lines[(places[-1].lineno or 1) - 1].strip()) if part)
    return f"{type(error).__name__}: {said}"


def _run_tests(request: Mapping[str, Any], program: Program) -> None:
    """Run every set of tests on the program.

    Raises:
        BrokenError: the tests cannot be read.
        BaseException: the program fails them.
    """
    trusted: dict[str, Any] = {"__name__": "tests"}
    try:
        trees = [ast.parse(text, f"<tests{number}>") for number, text in enumerate(request["tests"])]
        exec(_compiled(request["preamble"], "<preamble>"), trusted)
    except Exception as error:
        raise BrokenError(f"the tests cannot be read: {error!r}") from error
    names, entry_point = program.load(request["code"]), request["entry_point"]
    if entry_point not in names:
        raise FailureError("NameError", f"no function '{entry_point}' is defined")
    for number, tree in enumerate(trees):
        random.seed(0)  # every program meets the same draws
        programs = {name: program.get(name) for name in (_free(tree, trusted) & names) | {entry_point}}
        exec(_compiled(tree, f"<tests{number}>"), {**trusted, **programs})
    if program.failure:
        raise program.failure


def _compiled(code: str | ast.Module, name: str) -> CodeType:
    return compile(code, name, "exec", dont_inherit=True)  # nor this module's `__future__`


def _free(tree: ast.AST, trusted: dict[str, Any]) -> set[str]:
    """Names that tests use but do not define, such as a class of the program's.

    Neither builtins nor modules of the standard library, which are imported here: the program's own `math` must not
    say what is close to what. A module is not called, so that a function may have the name of one.
    """
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    stored = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    stored |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    stored |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    free = {name.id for name in names} - stored - vars(builtins).keys() - trusted.keys()
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for name in free & sys.stdlib_module_names - called:
        trusted[name] = importlib.import_module(name)
    return free - trusted.keys()
