"""Runs a program that a model wrote, in a sandbox of its own, and does for its tests what they ask.

This process knows neither the tests nor what they expect: whatever the program does to it, all it can send is values.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import types

from reasonmaxxer.sandbox.inside.values import Channel, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "solution"
"""Module that the program is run as."""
_CHANGEABLE = (list, dict, set, bytearray)


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
    objects: list[Any] = []
    channel.send("ready")
    while (request := channel.receive()) is not None:
        try:
            channel.send({"nonce": request["nonce"], **_done(request, objects)})
        except BaseException as error:  # SystemExit too: a program that ends itself has failed
            channel.send({"nonce": request["nonce"], **_raised(error)})


def limit(memory: int, files: int, seconds: int) -> None:
    """Bound this process, for good; see `main`."""
    bounds = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: files,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NPROC: 64,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for what, bound in bounds.items():
        hard = resource.getrlimit(what)[1]
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (bound, bound))


def _done(request: dict[str, Any], objects: list[Any]) -> dict[str, Any]:
    """The reply to one request.

    `load` runs the program and tells its names; `call`, `get`, `set` and `truth` act on one of the objects, of which
    the program is the first.
    """

    def refer(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    if request["do"] == "load":
        return {"names": _run(request["code"], objects)}
    target, name = objects[request["of"]], request.get("name", "")
    given = [decode(node, objects.__getitem__) for node in request["given"]]
    if request["do"] == "get":
        return {"value": encode(getattr(target, name), refer)}
    if request["do"] == "truth":
        return {"value": bool(target)}
    if request["do"] == "set":
        setattr(target, name, *given)
        return {}
    named = {key: decode(node, objects.__getitem__) for key, node in request["named"].items()}
    value = encode(target(*given, **named), refer)
    after = [encode(item, refer) if isinstance(item, _CHANGEABLE) else None for item in given]
    changed = [now if now != before else None for now, before in zip(after, request["given"], strict=True)]
    return {"value": value, "changed": changed} if any(changed) else {"value": value}


def _run(code: str, objects: list[Any]) -> list[str]:
    module = sys.modules[NAME] = types.ModuleType(NAME)
    objects.append(module)
    exec(compile(code, "<program>", "exec", dont_inherit=True), module.__dict__)
    return [name for name in module.__dict__ if isinstance(name, str) and not name.startswith("__")]


def _raised(error: BaseException) -> dict[str, Any]:
    """Names of an exception's types, nearest first, and its message."""
    message = ""
    with contextlib.suppress(BaseException):  # the program's own `__str__`
        message = str(error)[:300]
    return {"raised": [kind.__name__ for kind in type(error).__mro__], "message": message}
