"""What commands share: options, quiet libraries, tables."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

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


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print rows on the terminal, none of them cut."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(name, overflow="fold") for name in columns))
    for row in rows:
        table.add_row(*row)
    Console().print(table)
