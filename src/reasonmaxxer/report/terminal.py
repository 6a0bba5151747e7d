"""A run as people read it in a terminal: its end, and its state on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reasonmaxxer.work.status import Sampled, Status

BARS = "▁▂▃▄▅▆▇█"
STATES = {
    "done": "[green]finished[/]",
    "running": "[bold cyan]running[/]",
    "stopped": "[yellow]stopped; the same `reasonmaxxer run` command goes on[/]",
}


def print_summary(summary: Mapping[str, Any], out: Path, console: Console) -> None:
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
    reported = summary["training"]["method"] == "reasonmaxxer"
    for line in _next(out) if reported else _next_of_baseline(out):
        console.print(line, highlight=False, soft_wrap=True)


def _accuracy(summary: Mapping[str, Any]) -> Table:
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


def _verdict(summary: Mapping[str, Any]) -> str:
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
        f"Report    {escape(str(out / 'report.html'))}",
        f"Figures   {escape(str(out / 'summary.json'))}",
        f"Adapter   {adapter} (PEFT folder: vLLM, SGLang, lm-eval and peft load it)",
        f"Tables    {escape(str(out))}/*/*.parquet",
        "",
        "Next:",
        "  the same command with seed=1 and another --out   another draw",
        "  reasonmaxxer run --print-recipe                  every key, for your own recipe",
    ]


def _next_of_baseline(out: Path) -> list[str]:
    return [
        f"Figures   {escape(str(out / 'summary.json'))}",
        f"Adapter   {escape(str(out / 'training' / 'adapter'))} (PEFT folder)",
        "",
        "Next:",
        f"  reasonmaxxer compare RUN... {escape(str(out))}    against other runs of the same model",
    ]


def print_comparison(found: dict[str, Any], out: Path, console: Console) -> None:
    """Print the tables of a comparison and where its files are.

    Args:
        found: what `comparison.json` holds.
        out: its folder.
        console: of the terminal.
    """
    # here, because it loads torch, which `show` does without
    from reasonmaxxer.report.comparison_tables import NAME, tables_of

    for part in tables_of(found):
        if part.name == "published-table":
            continue  # long, and nothing that was measured here
        table = Table(title=part.title, title_justify="left", caption=escape(part.note))
        for column in part.columns:
            table.add_column(column)
        for row in part.rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for kind in ("html", "md", "tex", "json"):
        console.print(escape(str(out / f"{NAME}.{kind}")), highlight=False, soft_wrap=True)


def print_status(status: Status, console: Console) -> None:
    """Print where a run is, what its completions and training look like, and its end if there is one.

    Args:
        status: of `read_status`.
        console: of the terminal.
    """
    title = f"{status.path}: {status.model}, seed {status.seed}"
    console.print(f"{escape(title)}, {STATES[status.state]}", highlight=False, soft_wrap=True)
    if status.summary:
        print_summary(status.summary, status.path, console)
        return
    stages = Table()
    stages.add_column("stage")
    stages.add_column("state")
    for column in ("seconds so far", "tokens so far"):
        stages.add_column(column, justify="right")
    for stage in status.stages:
        spent = ("" if n is None else f"{n:,.0f}" for n in (stage.seconds, stage.tokens))
        stages.add_row(stage.stage, stage.state, *spent)
    console.print(stages)
    if status.sampled:
        console.print(_completions(status.sampled))
    for gate, rows in status.training.items():
        for line in _training(gate, rows):
            console.print(line, highlight=False, soft_wrap=True)


def _completions(sampled: list[Sampled]) -> Table:
    table = Table(title="Completions so far", title_justify="left")
    table.add_column("set")
    for column in ("done", "right", "mixed problems", "no answer", "cut"):
        table.add_column(column, justify="right")
    for part in sampled:
        done = f"{part.finished:,}" + (f"/{part.total:,}" if part.total else "")
        shares = (part.outcomes.get("correct", 0), part.outcomes.get("unparsed", 0), part.truncated)
        right, unparsed, cut = (f"{s / part.done:.0%}" if part.done else "" for s in shares)
        mixed = f"{part.mixed}/{part.problems}" if part.done > part.problems else ""
        table.add_row(part.name, done, right, mixed, unparsed, cut)
    return table


def _training(gate: int, rows: list[dict[str, Any]]) -> list[str]:
    """The last metrics of a gate's training, each with its course so far."""
    if not rows:
        return [f"Training, gate {gate}: no step yet"]
    last = rows[-1]
    names = ("loss", "reward", "kl", "delta_logprob_positive", "delta_logprob_negative")
    lines = [f"Training, gate {gate}: step {last['step']} of {last['steps']}"]
    for name in names:
        values = [row[name] for row in rows if name in row]
        if values:
            lines.append(f"  {name.replace('_', ' '):<23}{values[-1]:+9.4f}  {sparkline(values)}")
    return lines


def sparkline(values: list[float], width: int = 40) -> str:
    """The course of a number in one line of bars, from its lowest to its highest.

    Args:
        values: finite numbers, in order; of more than `width`, the means of equal runs are drawn.
        width: bars at most.
    """
    count = min(width, len(values))
    runs = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    means = [sum(run) / len(run) for run in runs]
    low, spread = min(means), (max(means) - min(means)) or 1.0
    return "".join(BARS[round((mean - low) / spread * (len(BARS) - 1))] for mean in means)
