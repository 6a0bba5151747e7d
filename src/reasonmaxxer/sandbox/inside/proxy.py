"""The program as its tests see it: values of Python's own types, and references to what is of another."""

from __future__ import annotations

import builtins
import contextlib
import itertools
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reasonmaxxer.sandbox.inside.reference import BrokenError, FailureError, Reference, parts_of
from reasonmaxxer.sandbox.inside.values import Channel, decode, encode

_ENDLESS = 2**20
"""Items drawn from an iterator of the tests' after which it counts as endless."""


class Program:
    """The program, at the other end of a channel.

    Attributes:
        failure: the first one, which counts even if the tests catch it.
    """

    def __init__(self, channel: Channel) -> None:
        self.failure: BaseException | None = None
        self._channel = channel
        self._turn = threading.RLock()  # for tests that have threads
        self._references: dict[int, Reference] = {}
        self._exceptions: dict[tuple[str, ...], type[BaseException]] = {}
        self._functions: list[Callable[..., Any]] = []  # of the tests, which the program may call

    def load(self, code: str) -> set[str]:
        """Run the program; the names that it defines.

        Raises:
            BrokenError: nothing of it was run.
            BaseException: what it raises.
        """
        if self._channel.receive() != "ready":  # told before there is a program that could tell
            raise BrokenError("the program's sandbox did not start")
        reply = self._ask(do="load", code=code)
        with self._readable():
            return {str(name) for name in reply["names"]}

    def get(self, name: str) -> Any:
        """What one of the program's names stands for."""
        return self.call("getattr", self._resolve("reference", 0), name)

    def call(self, of: int | str, /, *arguments: Any, **named: Any) -> Any:
        """What an object, or a builtin function, returns; a list, dict, set or deque that it changes changes here too.

        Raises:
            BaseException: what it raises, of the nearest builtin type or of one made here for the program's.
        """
        given = [encode(value, self._refer) for value in arguments]
        also = {key: encode(value, self._refer) for key, value in named.items()}
        reply = self._ask(do="call", of=of, given=given, named=also)
        with self._readable():
            changed = [decode(node, self._resolve) for node in reply.get("changed", [])]
            value = decode(reply["value"], self._resolve)
        for argument, now in zip([*arguments, *named.values()], changed, strict=False):
            same = isinstance(now, set) and now == argument  # whose order is told, and means nothing
            if now is not None and type(now) is type(argument) and hasattr(argument, "clear") and not same:
                argument.clear()
                (argument.update if hasattr(argument, "update") else argument.extend)(now)
        return value

    def _ask(self, **request: Any) -> dict[str, Any]:
        """The reply to a request; what the program asks of the tests before it is answered.

        Raises:
            FailureError: the program is gone, or what came is no reply to this request.
            BaseException: what the program raised.
        """
        nonce = secrets.token_hex(8)
        with self._turn:
            self._send({"nonce": nonce, **request})
            while "function" in (reply := self._received()):
                self._send(self._called(reply))
        with self._readable():
            if reply["nonce"] != nonce:
                raise ValueError("a reply to what was not asked")
            error = self._error(reply) if "raised" in reply else None
        if error:
            raise error
        return reply

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # gone: nothing is received
            self._channel.send(message)

    def _received(self) -> dict[str, Any]:
        with self._readable():
            message = self._channel.receive()
            if message is None:
                raise self._failed("Ended", "the program ended its process")
            return dict(message)

    def _called(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What a function of the tests' returns to the program, or raises."""
        with self._readable():
            function = self._functions[message["function"]]
            given = [decode(node, self._resolve) for node in message["given"]]
            named = {key: decode(node, self._resolve) for key, node in message["named"].items()}
        try:
            return {"value": encode(function(*given, **named), self._refer)}
        except Exception as error:
            kind = next(kind for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind)
            return {"raised": kind.__name__, "message": str(error)}

    def _error(self, reply: Mapping[str, Any]) -> BaseException:
        """An `Exception` of the nearest type that can be made; else, as for `SystemExit`, the program has failed."""
        kinds, message = reply["raised"], str(reply["message"])
        for place in range(len(kinds)):
            kind = self._kind(kinds[place:])
            if not issubclass(kind, Exception):
                break
            with contextlib.suppress(TypeError):  # one that takes more than a message
                error = kind(message)
                vars(error)["reference"] = decode(reply["error"], self._resolve)
                return error
        return self._failed(str(kinds[0]), message)

    def _kind(self, kinds: Sequence[str]) -> type[BaseException]:
        """The exception of a name, else one made of the next."""
        known = vars(builtins).get(kinds[0])
        if isinstance(known, type) and issubclass(known, BaseException):
            return known
        names = tuple(kinds)
        if names not in self._exceptions:
            parts = {"__getattr__": lambda self, name: getattr(vars(self)["reference"], name)}
            self._exceptions[names] = type(names[0], (self._kind(names[1:]),), parts)
        return self._exceptions[names]

    def _resolve(self, kind: str, inner: Any) -> Any:
        """What stands here for an object of the program's."""
        if kind == "exception":
            return self._kind(inner)
        if kind == "coroutine":
            return self._awaited(int(inner))
        if kind != "reference":
            raise ValueError(f"a value of no kind: {kind:.80}")
        return self._references.setdefault(int(inner), Reference(self, int(inner)))

    async def _awaited(self, number: int) -> Any:
        return self.call("run", self._resolve("reference", number))

    def _refer(self, value: Any) -> Any:
        """JSON of what the tests pass that is of no type of Python's."""
        if isinstance(value, Reference):
            return {"reference": parts_of(value)[1]}
        if isinstance(value, Iterator):
            items = list(itertools.islice(value, _ENDLESS))
            if len(items) == _ENDLESS:
                raise BrokenError("the tests pass an iterator without end to the program, which cannot be sent")
            return {"iterator": [encode(item, self._refer) for item in items]}
        if not callable(value):
            raise BrokenError(f"the tests pass a {type(value).__name__} to the program, which cannot be sent")
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if module in sys.stdlib_module_names and getattr(sys.modules.get(module), name, None) is value:
            return {"library": [module, name]}  # the program's own: `eval` must not be called here
        self._functions.append(value)
        return {"function": len(self._functions) - 1}

    def _failed(self, kind: str, message: str) -> FailureError:
        error = FailureError(kind, message)
        self.failure = self.failure or error
        return error

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Whatever a program sends that cannot be read is its failure."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise self._failed("Unreadable", f"what the program returned: {error}") from error

    def refuse(self) -> FailureError:
        """What is raised where a test would tell the program what is expected."""
        return self._failed("TypeError", "an object of a type of the program's own cannot be compared")
