"""What stands in the tests for an object of the program's.

What it does is what the program says. It says values, which are compared here; it is never told what is expected,
since then it would decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reasonmaxxer.sandbox.inside.proxy import Program


class FailureError(BaseException):
    """The program did not do what a program has to do. Its arguments are kind and message."""


class BrokenError(BaseException):
    """The tests themselves cannot be run."""


def parts_of(reference: Reference) -> tuple[Program, int]:
    """The program, and the object's number there."""
    parts: tuple[Program, int] = object.__getattribute__(reference, "_parts")
    return parts


def _asked(function: str) -> Callable[..., Any]:
    """A method that the program's object does by a builtin function."""
    return lambda self, *given: parts_of(self)[0].call(function, self, *given)


def _operated(name: str) -> Callable[..., Any]:
    """An operator on two objects of the program's; any other operand may be what is expected."""

    def operator(self: Reference, other: object) -> Any:
        if not isinstance(other, Reference):
            raise parts_of(self)[0].refuse()
        return self.__getattr__(name)(other)

    return operator


class Reference:
    """An object of the program: it can be called, read, iterated and tested for truth.

    It equals itself and cannot be compared with anything else.
    """

    __slots__ = ("_parts",)

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_parts", (program, number))

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        """What the program returns."""
        program, number = parts_of(self)
        return program.call(number, *arguments, **named)

    __getattr__ = _asked("getattr")
    __setattr__ = _asked("setattr")
    __bool__ = _asked("bool")
    __len__ = _asked("len")
    __next__ = _asked("next")
    __str__ = _asked("str")
    __repr__ = _asked("repr")

    def __iter__(self) -> Iterator[Any]:
        """Its items, drawn one at a time and later a few more."""
        program, _ = parts_of(self)
        iterator, count = program.call("iter", self), 0
        if not isinstance(iterator, Reference):
            raise program.refuse()
        while items := program.call("draw", iterator, 1 + count // 64):
            yield from items
            count += len(items)

    def __getitem__(self, key: Any) -> Any:
        return self.__getattr__("__getitem__")(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__getattr__("__setitem__")(key, value)

    def __delitem__(self, key: Any) -> None:
        self.__getattr__("__delitem__")(key)

    def __instancecheck__(self, instance: object) -> bool:
        """Whether an object of the program's is an instance of this class of the program's."""
        return isinstance(instance, Reference) and parts_of(self)[0].call("isinstance", instance, self) is True

    def __eq__(self, other: object) -> bool:
        if self is not other:
            raise parts_of(self)[0].refuse()
        return True

    def _refuse(self, *_: object) -> Any:
        raise parts_of(self)[0].refuse()

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        raise BrokenError("the tests derive a class from one of the program's, which stays where it is")

    __hash__ = object.__hash__
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__, __sub__, __mul__, __truediv__ = map(_operated, ("__add__", "__sub__", "__mul__", "__truediv__"))
