"""What `evaluate` prints when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reasonmaxxer.report.evaluation import words
from reasonmaxxer.report.numbers import number


def print_evaluation(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print the scores, what to keep in mind, and where the files are.

    Args:
        found: what `summary.json` holds.
        out: its folder.
        console: of the terminal.
    """
    base = next((row for row in found["published"] if row["method"] == "base"), None)
    table = Table(title=escape(found["model"]["name"]), title_justify="left")
    table.add_column("benchmark")
    table.add_column("metric")
    for column in ("n", "score", "cut", "no answer", *(["published base"] if base else [])):
        table.add_column(column, justify="right")
    for one in found["benchmarks"]:
        total = sum(one["outcomes"].values())
        cells = [
            one["title"],
            one["protocol"]["metric"],
            f"{one['problems']:,}",
            number(one["accuracy"], 3),
            f"{one['truncated_share']:.0%}",
            f"{one['outcomes'].get('unparsed', 0) / total:.0%}",
        ]
        if base:
            score = base["scores"].get(one["name"])
            cells.append("" if score is None else f"{score:.3f}")
        table.add_row(*map(escape, cells))
    console.print(table)
    if found["average"]:
        console.print(escape(words.findings(found)[0]), highlight=False)
    for text in words.caveats(found):
        console.print(f"[yellow]{escape(text)}[/]", highlight=False)
    for label, name in (("Page", "report.html"), ("Tables", "results.md"), ("Figures", "summary.json")):
        console.print(f"{label:<9} {escape(str(out / name))}", highlight=False, soft_wrap=True)
