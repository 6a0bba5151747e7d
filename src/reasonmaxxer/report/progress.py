"""Progress on the terminal, as bars with estimates; silence where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass
class Task:
    """One bar. `advance` moves it and adds to the tokens whose rate it shows."""

    progress: Progress
    id: TaskID
    tokens: int = 0
    done: int = 0

    def advance(self, done: int, tokens: int = 0) -> None:
        """Add finished items and tokens."""
        self.tokens += tokens
        self.done += done
        elapsed = self.progress.tasks[self.progress.task_ids.index(self.id)].elapsed
        rate = f"{self.tokens / elapsed:,.0f} tokens/s" if self.tokens and elapsed else ""
        self.progress.update(self.id, advance=done, rate=rate)

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
            TextColumn("{task.description:<21}"),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield Task(progress, progress.add_task(label, total=total, rate=""))
