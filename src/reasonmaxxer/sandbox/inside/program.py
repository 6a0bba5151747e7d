"""Runs a program that a model wrote, in a sandbox of its own, and does for its tests what they ask.

This process knows neither the tests nor what they expect: whatever the program does to it, all it can send is values.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import importlib
import itertools
import os
import resource
import signal
import sys
import types

from reasonmaxxer.sandbox.inside.values import Channel, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = "solution"
"""Module that the program is run as."""
_CHANGEABLE = (list, dict, set, bytearray, collections.deque)


def main(memory: int, files: int, seconds: int) -> None:
    """Answer requests until the tests close their end.

    Args:
        memory: bytes of address space.
        files: bytes of a file.
        seconds: of processor time.
    """
    channel = Channel(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    limit(memory, files, seconds)
    channel.send("ready")
    _Served(channel).serve()


def limit(memory: int, files: int, seconds: int) -> None:
    """Bound this process, for good; see `main`."""
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: files,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NPROC: 64,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    for what, bound in bounds.items():
        hard = resource.getrlimit(what)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (bound, bound))


class _Served:
    """The program, as its tests ask for it.

    Args:
        channel: to the tests.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._objects: list[Any] = []  # for which references stand
        self._numbers: dict[int, int] = {}  # of each by its id

    def serve(self) -> Any:
        """Do what the tests ask, until they say what a function of theirs returned: that."""
        while (request := self._channel.receive()) is not None:
            if "nonce" not in request:
                return request
            try:
                self._channel.send({"nonce": request["nonce"], **self._done(request)})
            except BaseException as error:  # SystemExit too: a program that ends itself has failed
                self._channel.send({"nonce": request["nonce"], **self._raised(error)})
        while True:  # until it is killed: bubblewrap leaves a program that ends by itself to process 1
            signal.pause()

    def _done(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request.

        `load` runs the program and tells its names; `call` calls an object, or one of the functions that are built in.
        """
        if request["do"] == "load":
            return {"names": self._run(request["code"])}
        of = request["of"]
        target = self._objects[of] if isinstance(of, int) else _FUNCTIONS.get(of) or getattr(builtins, of)
        given = [decode(node, self._resolve) for node in request["given"]]
        named = {key: decode(node, self._resolve) for key, node in request["named"].items()}
        value = encode(target(*given, **named), self._refer)
        items = [*given, *named.values()]
        after = [encode(item, self._refer) if isinstance(item, _CHANGEABLE) else None for item in items]
        before = [*request["given"], *request["named"].values()]
        changed = [now if now != then else None for now, then in zip(after, before, strict=True)]
        return {"value": value, "changed": changed} if any(changed) else {"value": value}

    def _run(self, code: str) -> list[str]:
        module = sys.modules[NAME] = types.ModuleType(NAME)
        self._refer(module)
        exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)
        return [name for name in module.__dict__ if isinstance(name, str) and not name.startswith("__")]

    def _refer(self, value: Any) -> dict[str, Any]:
        """What stands for an object: always the same for the same."""
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"exception": [kind.__name__ for kind in value.__mro__]}
        return {"coroutine" if isinstance(value, types.CoroutineType) else "reference": number}

    def _resolve(self, kind: str, number: Any) -> Any:
        """The object for which something stands: one of the program's, of Python's, or a function of the tests'."""
        if kind == "reference":
            return self._objects[number]
        if kind == "library":
            module, name = number
            return getattr(importlib.import_module(module), name)

        def function(*given: Any, **named: Any) -> Any:
            sent = [encode(item, self._refer) for item in given]
            also = {key: encode(item, self._refer) for key, item in named.items()}
            self._channel.send({"function": number, "given": sent, "named": also})
            answer = self.serve()
            if "raised" in answer:
                raise getattr(builtins, answer["raised"])(answer["message"])
            return decode(answer["value"], self._resolve)

        return function

    def _raised(self, error: BaseException) -> dict[str, Any]:
        """Names of an exception's types, nearest first, its message, and what stands for it."""
        message = ""
        with contextlib.suppress(BaseException):  # the program's own `__str__`
            message = str(error)[:300]
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"raised": kinds, "message": message, "error": self._refer(error)}


def _drawn(iterator: Any, count: int) -> list[Any]:
    return list(itertools.islice(iterator, count))


def _run_coroutine(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


_FUNCTIONS: dict[str, Callable[..., Any]] = {"draw": _drawn, "run": _run_coroutine}
"""Those that are not Python's."""
