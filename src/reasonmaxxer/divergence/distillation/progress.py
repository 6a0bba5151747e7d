"""Where distillation shows how far it is: whatever has these methods, by default nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One piece of work."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """Add finished items and tokens."""
        ...

    def on_tokens(self, tokens: int, done: int) -> None:
        """In the form engines report in."""
        ...


class Display(Protocol):
    """All of it."""

    def note(self, text: str) -> None:
        """Show one line."""
        ...

    def task(self, label: str, total: int) -> AbstractContextManager[Bar]:
        """Show a bar while a block runs."""
        ...


class Silence:
    """A display, and its bars, that show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def advance(self, done: int, tokens: int = 0) -> None:
        """Show nothing."""

    def on_tokens(self, tokens: int, done: int) -> None:
        """Show nothing."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Bar]:
        """Show nothing."""
        yield self
