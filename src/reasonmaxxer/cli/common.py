"""What commands share: options, quiet libraries, tables."""

import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the models' repositories run their code.")
]


def quiet_libraries() -> None:
    """Keep what transformers says of its own future, and its bars of weights, off the terminal."""
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]
    from transformers.utils.logging import disable_progress_bar

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    disable_progress_bar()
    enable_progress_bars()  # those of downloads


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | int]]) -> None:
    """Print rows on the terminal, none of their cells cut; columns of numbers are aligned on the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for number, name in enumerate(columns):
        counts = all(isinstance(row[number], int) for row in rows)
        table.add_column(name, overflow="fold", justify="right" if counts else "left")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else cell) for cell in row))
    Console().print(table)
