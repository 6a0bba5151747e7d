"""The end of a run as people read it in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_summary(summary: dict[str, Any], out: Path, console: Console) -> None:
    """Print accuracy, cost, where the files are and what to do next.

    Args:
        summary: what `summary.json` holds.
        out: the run directory.
        console: of the terminal.
    """
    console.print()
    console.print(_accuracy(summary))
    console.print(_verdict(summary), highlight=False, soft_wrap=True)
    console.print()
    console.print(_cost(summary["cost"]))
    for line in _next(out):
        console.print(line, highlight=False, soft_wrap=True)


def _accuracy(summary: dict[str, Any]) -> Table:
    n = summary["base"]["greedy"]["pass@1"]["n"]
    table = Table(title=f"Accuracy on {n} test problems", title_justify="left")
    table.add_column("metric")
    for arm in ("base", "adapted"):
        table.add_column(arm, justify="right")
    for kind in ("greedy", "sampled"):
        names = summary["base"][kind]
        for name in names:
            if name.startswith("avg@") and "pass@1" in names:
                continue  # the same number
            cells = (_estimate(summary[arm][kind][name]) for arm in ("base", "adapted"))
            table.add_row(f"{kind} {name}", *cells)
    cut = (f"{summary[arm]['truncated_share']:.0%}" for arm in ("base", "adapted"))
    table.add_row("cut at the length limit", *cut)
    unparsed = (_share(summary[arm]["outcomes"], "unparsed") for arm in ("base", "adapted"))
    table.add_row("no answer found", *unparsed)
    return table


def _estimate(values: dict[str, float]) -> str:
    return f"{values['value']:.3f} \\[{values['low']:.3f}, {values['high']:.3f}]"


def _share(outcomes: dict[str, int], name: str) -> str:
    return f"{outcomes.get(name, 0) / sum(outcomes.values()):.0%}"


def _verdict(summary: dict[str, Any]) -> str:
    d = summary["difference"]["greedy"]
    return (
        f"Greedy difference [bold]{d['value']:+.3f}[/] \\[{d['low']:+.3f}, {d['high']:+.3f}]: "
        f"{d['gained']} problems gained, {d['lost']} lost, exact McNemar p = {d['p_value']:.2g}"
    )


def _cost(cost: dict[str, Any]) -> Table:
    price = cost["price"]
    if price["usd_per_hour"] is None:
        title = "Cost (no price for this machine: set cost.usd_per_hour)"
    else:
        kind = "assumed " if price["estimated"] else ""
        title = f"Cost (at {kind}{price['usd_per_hour']:.2f} USD an hour, {price['name']})"
    table = Table(title=title, title_justify="left")
    table.add_column("stage")
    for column in ("tokens", "TFLOPs", "seconds", "peak GiB", "USD"):
        table.add_column(column, justify="right")
    for row in [*cost["stages"], cost["total"]]:
        if row["stage"] == "total":
            table.add_section()
        table.add_row(
            row["stage"],
            f"{row['tokens']:,}",
            f"{row['flops'] / 1e12:,.1f}",
            f"{row['seconds']:.0f}",
            f"{row['peak_memory_bytes'] / 2**30:.1f}",
            "?" if row["usd"] is None else f"{row['usd']:.4f}",
        )
    return table


def _next(out: Path) -> list[str]:
    adapter = escape(str(out / "training" / "adapter"))
    return [
        f"Figures   {escape(str(out / 'summary.json'))}",
        f"Adapter   {adapter} (PEFT folder: vLLM, SGLang, lm-eval and peft load it)",
        f"Tables    {escape(str(out))}/*/*.parquet",
        "",
        "Next:",
        "  reasonmaxxer run seed=1                                     another seed",
        "  reasonmaxxer run signal.gate.kind=share signal.gate.share=0.05   a sparser gate",
        "  reasonmaxxer run --print-recipe                             every key, for your own recipe",
    ]
