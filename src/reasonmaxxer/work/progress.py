"""Progress: bars with estimates on a terminal, in a file a line a minute at most, or nothing at all."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE = 60.0
"""Seconds between two lines where there is no terminal."""


@dataclass
class Task:
    """One bar. `advance` moves it and adds to the tokens that it shows with their rate."""

    progress: Progress
    id: TaskID
    tokens: int = 0
    done: int = 0
    printed: float = field(default_factory=time.monotonic)

    def advance(self, done: int, tokens: int = 0) -> None:
        """Add finished items and tokens."""
        self.tokens += tokens
        self.done += done
        elapsed = self.progress.tasks[self.progress.task_ids.index(self.id)].elapsed
        rate = f"{self.tokens:,} tokens, {self.tokens / elapsed:,.0f}/s" if elapsed else ""
        self.progress.update(self.id, advance=done, rate=rate if self.tokens else "")
        console, now = self.progress.console, time.monotonic()
        if not console.is_terminal and now - self.printed >= LINE:
            self.printed = now
            console.print(self.progress.get_renderable())

    def on_tokens(self, tokens: int, done: int) -> None:
        """In the form engines report in."""
        self.advance(done, tokens)


class Display:
    """Where a run shows its progress.

    Args:
        console: of the terminal; none prints nothing.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(quiet=True)

    def note(self, text: str) -> None:
        """Print one line."""
        self.console.print(escape(text), highlight=False)

    def warn(self, text: str) -> None:
        """Print one line that must not be missed."""
        self.console.print(f"[bold yellow]Warning:[/] {escape(text)}", highlight=False)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Task]:
        """Show a bar while the block runs."""
        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield Task(progress, progress.add_task(label, total=total, rate=""))
