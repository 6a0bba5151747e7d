"""What a command of the microscope prints when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reasonmaxxer.report.numbers import counted, number, share


def print_diff(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print the figures of a comparison and where its files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch
    from reasonmaxxer.report.microscope import diff_words

    _say(diff_words.findings(found)[:1], console)
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
    _say(diff_words.caveats(found, 0.0)[:2], console)
    _files(out, "diff", console)


def print_intervene(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print every policy and where the files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch

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
    from reasonmaxxer.report.microscope.intervene import findings  # here, because it loads torch

    _say(findings(found), console)
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


def print_distill(summary: dict[str, Any], out: Path, console: Console) -> None:
    """Print what each student kept of the teacher, and where its adapter is.

    Args:
        summary: what `summary.json` of a distillation holds.
        out: its folder.
        console: of the terminal.
    """
    tested = f"Greedy accuracy on {summary['test_problems']} test problems"
    title = f"{tested}, and KL to the teacher in nats"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for column in ("parameters", "share", "accuracy", "to teacher", "KL"):
        table.add_column(column, justify="right")
    for row in summary["rows"]:
        table.add_row(*_distilled(row))
    console.print(table)
    students = escape(str(out / "students"))
    _files(out, "distill", console)
    for line in (f"Adapters  {students}/*/adapter (PEFT folders)", f"Losses    {students}/*/history.parquet"):
        console.print(line, highlight=False, soft_wrap=True)


def _distilled(row: dict[str, Any]) -> list[str]:
    share, difference = row["parameter_share"], row["to_teacher"]
    return [
        escape(row["name"]),
        "" if row["parameters"] is None else _rounded(row["parameters"]),
        "" if share is None else f"{share:.2%}",
        number(row["accuracy"], 3),
        "" if difference is None else f"{difference['value']:+.3f}",
        f"{row['kl']:.4f}",
    ]


def _rounded(count: int) -> str:
    """Such as 8.7 M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def _say(sentences: list[str], console: Console) -> None:
    for sentence in sentences:
        console.print(escape(sentence), highlight=False)


def _files(out: Path, command: str, console: Console) -> None:
    names = {"Page": f"{command}.html", "Tables": f"{command}.tex", "Figures": "summary.json"}
    for label, name in names.items():
        console.print(f"{label:<9} {escape(str(out / name))}", highlight=False, soft_wrap=True)
