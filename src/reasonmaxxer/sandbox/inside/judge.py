"""Decides whether a program passes its tests: runs them, and asks the program for values over a private descriptor.

Each program is judged in a fork of its own, so that none can change what the next one meets.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import os
import random
import secrets
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from reasonmaxxer.sandbox.inside.program import limit
from reasonmaxxer.sandbox.inside.values import Channel, UnsendableError, decode, encode


class FailureError(BaseException):
    """The program did not do what a program has to do; no test can catch it. Its arguments are kind and message."""


class BrokenError(BaseException):
    """The tests themselves cannot be run."""


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


def _compiled(code: str | ast.Module, name: str) -> CodeType:
    return compile(code, name, "exec", dont_inherit=True)  # nor this module's `__future__`


def _free(tree: ast.AST, trusted: dict[str, Any]) -> set[str]:
    """Names that tests use but do not define, such as a class of the program's.

    Neither builtins nor modules of the standard library, which are imported here: the program's own `math` must not
    say what is close to what.
    """
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    stored = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    stored |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    stored |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    free = {name.id for name in names} - stored - vars(builtins).keys() - trusted.keys()
    for name in free & sys.stdlib_module_names:
        trusted[name] = importlib.import_module(name)
    return free - trusted.keys()


class Program:
    """The program, at the other end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def load(self, code: str) -> set[str]:
        """Run the program; the names that it defines.

        Raises:
            BrokenError: nothing of it was run.
            BaseException: what it raises.
        """
        if self._channel.receive() != "ready":  # told before there is a program that could tell
            raise BrokenError("the program's sandbox did not start")
        reply = self.ask(do="load", code=code)
        with _readable():
            return {str(name) for name in reply["names"]}

    def get(self, name: str, number: int = 0) -> Any:
        """An attribute of an object; one of the program's names by default."""
        return self._value(self.ask(do="get", of=number, name=name, given=[]))

    def set(self, number: int, name: str, value: Any) -> None:
        """Set an attribute of an object."""
        self.ask(do="set", of=number, name=name, given=[encode(value, _number_of)])

    def truth(self, number: int) -> bool:
        """Whether an object counts as true."""
        return self._value(self.ask(do="truth", of=number, given=[])) is True

    def call(self, number: int, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What an object returns when it is called; a list, dict or set that it changes is changed here as well."""
        given = [encode(value, _number_of) for value in arguments]
        reply = self.ask(
            do="call", of=number, given=given, named={key: encode(value, _number_of) for key, value in named.items()}
        )
        with _readable():
            changed = [decode(node, self._reference) for node in reply.get("changed", [])]
        for value, now in zip(arguments, changed, strict=False):
            if isinstance(value, (list, bytearray)) and type(now) is type(value):
                value[:] = now
            elif isinstance(value, (dict, set)) and type(now) is type(value):
                value.clear()
                value.update(now)
        return self._value(reply)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request.

        Raises:
            FailureError: the program is gone, or what came is no reply to this request.
            BaseException: what the program raised, of the nearest builtin type.
        """
        nonce = secrets.token_hex(8)
        with contextlib.suppress(OSError):  # gone: nothing is received
            self._channel.send({"nonce": nonce, **request})
        with _readable():
            reply = self._channel.receive()
            if reply is None:
                raise FailureError("Ended", "the program ended its process")
            if reply["nonce"] != nonce:
                raise ValueError("a reply to what was not asked")
            raised = _exception(reply["raised"], str(reply["message"])) if "raised" in reply else None
        if raised:
            raise raised
        return dict(reply)

    def _value(self, reply: Mapping[str, Any]) -> Any:
        with _readable():
            return decode(reply["value"], self._reference)

    def _reference(self, number: int) -> Reference:
        return Reference(self, int(number))


def _exception(kinds: Sequence[str], message: str) -> BaseException:
    """Of the nearest type that is an `Exception` of Python's; else, as for `SystemExit`, the program has failed."""
    known = (vars(builtins).get(kind) for kind in kinds)
    for kind in known:
        if isinstance(kind, type) and issubclass(kind, Exception):
            with contextlib.suppress(TypeError):  # one that takes more than a message
                return kind(message)
    return FailureError(str(kinds[0]), message)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Whatever a program sends that cannot be read is its failure."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsendableError) as error:
        raise FailureError("Unreadable", f"what the program returned: {error}") from error


def _number_of(value: Any) -> int:
    if isinstance(value, Reference):
        return _parts(value)[1]
    raise BrokenError(f"the tests pass a {type(value).__name__} to the program, which cannot be sent")


def _parts(reference: Reference) -> tuple[Program, int]:
    parts: tuple[Program, int] = object.__getattribute__(reference, "_parts")
    return parts


class Reference:
    """An object of the program: it can be called and tested for truth, and its attributes read and set.

    It cannot be compared, since then the program would learn what is expected, and decide.
    """

    __slots__ = ("_parts",)

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_parts", (program, number))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the program returns."""
        program, number = _parts(self)
        return program.call(number, arguments, named)

    def __bool__(self) -> bool:
        program, number = _parts(self)
        return program.truth(number)

    def __getattr__(self, name: str) -> Any:
        program, number = _parts(self)
        return program.get(name, number)

    def __setattr__(self, name: str, value: Any) -> None:
        program, number = _parts(self)
        program.set(number, name, value)

    def _refuse(self, *_: object) -> Any:
        raise FailureError("TypeError", "an object of a type of the program's own can be neither compared nor read")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __len__ = __contains__ = __iter__ = __getitem__ = __hash__ = _refuse
