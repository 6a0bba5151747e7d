"""What a command of the microscope prints when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

FEW_TOKENS = 5


def print_diff(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print the figures of a comparison and where its files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch
    from reasonmaxxer.report.microscope import diff
    from reasonmaxxer.report.microscope.numbers import counted, number, share

    _say(diff.findings(found)[:1], console)
    size = f"{found['positions']:,} positions of {counted(found['problems'], 'problem')}"
    table = Table(title=size, title_justify="left")
    for column in ("figure", "value", "interval"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, key, form in (
        ("same choice", "agreement", share),
        ("reranked", "reranked_share", share),
        ("shifted", "shifted_share", share),
        ("entropy ratio", "entropy_ratio", number),
        ("mean rank", "mean_rank", number),
        ("mean JSD, nats", "mean_jsd", number),
    ):
        value, _, interval = form(found[key]).partition(" [")
        table.add_row(name, value, escape(f"[{interval}") if interval.endswith("]") else "")
    console.print(table)
    _say(diff.caveats(found, 0.0)[:2], console)
    _files(out, "diff", console)


def print_intervene(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print every policy and where the files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch
    from reasonmaxxer.report.microscope.numbers import number

    size = f"Greedy accuracy on {found['problems']:,} problems"
    table = Table(title=size, title_justify="left", caption="changed: tokens an answer")
    table.add_column("policy", no_wrap=True)
    for column in ("accuracy", "minus base", "p", "changed"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in found["rows"]:
        change = row["minus_base"]
        table.add_row(
            escape(row["name"]),
            escape(number(row["accuracy"])),
            f"{change['value']:+.2f}",
            f"{change['p_value']:.2g}",
            f"{row['edits_per_problem']:.1f}",
        )
    console.print(table)
    _say(found["words"], console)
    _files(out, "intervene", console)


def print_overlap(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print the figures of an overlap and where its files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch
    from reasonmaxxer.report.microscope import overlap

    part = overlap.overlap_table(found)
    table = Table(title=part.title, title_justify="left")
    for column in part.columns:
        table.add_column(column)
    for row in part.rows:
        table.add_row(*map(escape, row))
    console.print(table)
    _say(overlap.findings(found)[2:], console)
    _files(out, "overlap", console)


def _say(sentences: list[str], console: Console) -> None:
    for sentence in sentences:
        console.print(escape(sentence), highlight=False)


def _files(out: Path, command: str, console: Console) -> None:
    names = {"Page": f"{command}.html", "Tables": f"{command}.tex", "Figures": "summary.json"}
    for label, name in names.items():
        console.print(f"{label:<9} {escape(str(out / name))}", highlight=False, soft_wrap=True)
