"""Values between a program and its tests, as JSON: copies of exact builtin types, whatever was sent.

A value of any other type stays where it is, and a reference to it crosses.
"""

from __future__ import annotations

import builtins
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all the rest
    from collections.abc import Callable, Iterator
    from typing import Any

LONGEST = 2**24
"""Bytes of one message at most."""
_ENDLESS = 2**20  # items drawn from an iterator after which it counts as endless
_NOTHING: dict[Any, Any] = {}
_VIEWS = (type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))
_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter,
}  # fmt: skip
_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "type": _TYPES.__getitem__,
}


class UnsendableError(Exception):
    """A value that cannot cross."""


def encode(value: Any, refer: Callable[[Any], int]) -> Any:
    """JSON of a value; a subclass of a builtin type is sent as that type.

    Args:
        value: any.
        refer: number of the reference to a value of another type.

    Raises:
        UnsendableError: an endless iterator.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):  # hexadecimal where it is large, since Python limits the length of decimal ones
        return int(value) if -(2**53) < value < 2**53 else {"int": hex(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return {"float": float.hex(value)}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes" if isinstance(value, bytes) else "bytearray": bytes(value).hex()}
    if isinstance(value, range):
        return {"range": [hex(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, refer), encode(item, refer)] for key, item in value.items()]}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item, refer) for item in value]}
    if isinstance(value, type) and _TYPES.get(value.__name__) is value:
        return {"type": value.__name__}
    if hasattr(type(value), "__next__") or isinstance(value, _VIEWS):
        return {"iterator": [encode(item, refer) for item in _drawn(value)]}
    return {"reference": refer(value)}


def _drawn(iterator: Any) -> Iterator[Any]:
    for number, item in enumerate(iterator):
        if number >= _ENDLESS:
            raise UnsendableError("an iterator without end")
        yield item


def decode(node: Any, resolve: Callable[[int], Any]) -> Any:
    """The value of its JSON; everything in it is of an exact builtin type, or what `resolve` gives.

    Args:
        node: as `json.loads` gives it.
        resolve: what stands here for the reference of a number.

    Raises:
        AttributeError, KeyError, RecursionError, TypeError, ValueError: it is not what `encode` makes.
    """
    if node is None or isinstance(node, (bool, int, str)):
        return node
    ((kind, inner),) = node.items()
    if kind in _COLLECTIONS:
        return _COLLECTIONS[kind]([decode(item, resolve) for item in inner])
    if kind == "dict":
        return {decode(key, resolve): decode(item, resolve) for key, item in inner}
    if kind == "range":
        return range(*(int(part, 16) for part in inner))
    if kind == "complex":
        return complex(*(float.fromhex(part) for part in inner))
    return resolve(inner) if kind == "reference" else _SCALARS[kind](inner)


class Channel:
    """Messages as lines of JSON over two descriptors.

    Args:
        source: read from.
        sink: written to; may be the same.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink, self._rest = source, sink, b""

    def send(self, message: Any) -> None:
        """Write one message.

        Raises:
            UnsendableError: it is too long.
            OSError: the other end is closed.
        """
        line = json.dumps(message).encode() + b"\n"
        if len(line) > LONGEST:
            raise UnsendableError(f"a value of more than {LONGEST} bytes")
        while line:
            line = line[os.write(self._sink, line) :]

    def receive(self) -> Any:
        """The next message; None once the other end is closed.

        Raises:
            ValueError, RecursionError: it is too long, or no JSON.
        """
        parts, length = [self._rest], 0
        while b"\n" not in parts[-1]:
            try:
                part = os.read(self._source, 2**16)
            except OSError:  # its process was killed
                part = b""
            if not part:
                return None
            parts.append(part)
            length += len(part)
            if length > LONGEST:
                raise ValueError(f"a message of more than {LONGEST} bytes")
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return json.loads(line)
