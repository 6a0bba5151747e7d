"""Values between a program and its tests, as JSON: copies of exact types of Python's, whatever was sent.

A value of any other type stays where it is, and something that stands for it crosses.
"""

from __future__ import annotations

import builtins
import collections
import functools
import importlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all the rest
    from collections.abc import Callable
    from typing import Any

LONGEST = 2**24
"""Bytes of one message at most."""
_NOTHING: dict[Any, Any] = {}
_COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter, "slice": lambda of: slice(*of),
    "dict_keys": lambda keys: dict.fromkeys(keys).keys(), "dict_items": lambda items: dict(items).items(),
    "dict_values": lambda values: dict(enumerate(values)).values(),
}  # fmt: skip
_ITERABLE = (list, tuple, set, frozenset, type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))
_STANDARD: dict[str, Callable[[Any], list[Any]]] = {
    "decimal.Decimal": lambda value: [str(value)],
    "fractions.Fraction": lambda value: [value.numerator, value.denominator],
    "datetime.date": lambda value: [value.year, value.month, value.day],
    "datetime.time": lambda value: [value.hour, value.minute, value.second, value.microsecond, value.tzinfo],
    "datetime.datetime": lambda value: [*value.timetuple()[:6], value.microsecond, value.tzinfo],
    "datetime.timedelta": lambda value: [value.days, value.seconds, value.microseconds],
    "datetime.timezone": lambda value: [value.utcoffset(None)],
    "collections.deque": lambda value: [list(value), value.maxlen],
    "collections.Counter": lambda value: [dict(value)],
    "collections.OrderedDict": lambda value: [dict(value)],
    "collections.defaultdict": lambda value: [value.default_factory, dict(value)],
}
"""Types of the standard library, and the arguments that make an equal value."""
_CONSTANTS = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}
_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "type": _TYPES.__getitem__,
    "constant": _CONSTANTS.__getitem__,
}


class UnsendableError(Exception):
    """A value that cannot cross."""


def encode(value: Any, refer: Callable[[Any], Any]) -> Any:
    """JSON of a value; a subclass of a builtin type is sent as that type.

    Args:
        value: any.
        refer: JSON of what stands for a value of another type.
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
    if isinstance(value, slice):
        return {"slice": [encode(part, refer) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, type):
        return {"type": value.__name__} if _TYPES.get(value.__name__) is value else refer(value)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if parts := _STANDARD.get(name):
        return {name: [encode(part, refer) for part in parts(value)]}
    fields = getattr(type(value), "_fields", None)
    if isinstance(value, tuple) and isinstance(fields, tuple):
        return {"namedtuple": [type(value).__name__, *fields, *(encode(item, refer) for item in value)]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, refer), encode(item, refer)] for key, item in value.items()]}
    for kind in _ITERABLE:
        if isinstance(value, kind):
            return {kind.__name__: [encode(item, refer) for item in value]}
    for name, constant in _CONSTANTS.items():
        if value is constant:
            return {"constant": name}
    return refer(value)


def decode(node: Any, resolve: Callable[[str, Any], Any]) -> Any:
    """The value of its JSON; everything in it is of an exact type of Python's, or what `resolve` gives.

    Args:
        node: as `json.loads` gives it.
        resolve: what stands here for a value of another type, by the one key of its JSON and what is under it.

    Raises:
        ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError: it is not what `encode`
            makes.
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
    if kind == "namedtuple":
        name, *parts = inner
        fields = tuple(parts[: len(parts) // 2])
        return _named(name, fields)(*(decode(item, resolve) for item in parts[len(fields) :]))
    if kind in _STANDARD:
        module, _, name = kind.partition(".")
        return getattr(importlib.import_module(module), name)(*(decode(item, resolve) for item in inner))
    return _SCALARS[kind](inner) if kind in _SCALARS else resolve(kind, inner)


@functools.cache
def _named(name: str, fields: tuple[str, ...]) -> Any:
    return collections.namedtuple(name, fields)


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
