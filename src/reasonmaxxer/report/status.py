"""A command on a terminal: its state on the way, and the end of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from reasonmaxxer.report.content import Content, Section, Table
from reasonmaxxer.report.render import print_content, to_terminal
from reasonmaxxer.report.tables import accuracy_table, cost_table
from reasonmaxxer.report.words import Words
from reasonmaxxer.work.status import Sampled, Status

BARS = "▁▂▃▄▅▆▇█"
STATES = {
    "done": "[green]finished[/]",
    "running": "[bold cyan]running[/]",
    "stopped": "[yellow]stopped; the same `reasonmaxxer {command}` command goes on[/]",
}


def print_summary(summary: Mapping[str, Any], out: Path, console: Console) -> None:
    """Print accuracy, cost, where the files are and what to do next.

    Args:
        summary: what `summary.json` of a run or a baseline holds.
        out: its folder.
        console: of the terminal.
    """
    tables = [accuracy_table(summary), cost_table(summary["cost"])]
    section = Section("result", "Result", tables=tables)
    files = {"Figures": str(out / "summary.json"), "Adapter": f"{out / 'training' / 'adapter'} (PEFT folder)"}
    findings = Words("run", summary, difference=summary["difference"]["greedy"]).texts("findings")
    after = ["", "Next:"]
    if summary["training"]["method"] == "reasonmaxxer":
        files = {
            "Report": str(out / "report.html"),
            "Figures": files["Figures"],
            "Adapter": f"{out / 'training' / 'adapter'} (PEFT folder: vLLM, SGLang, lm-eval and peft load it)",
            "Tables": f"{out}/*/*.parquet",
        }
        after += [
            "  the same command with seed=1 and another --out   another draw",
            "  reasonmaxxer run --print-config                  every key, for your own recipe",
        ]
    else:
        after.append(f"  reasonmaxxer compare RUN... {out}    against other runs of the same model")
    console.print()
    print_content(Content("run", "", "", findings, [], [section]), console, files, after)


def print_status(status: Status, console: Console) -> None:
    """Print where a command is, what its completions and training look like, and its end if there is one.

    Args:
        status: of `read_status`.
        console: of the terminal.
    """
    title = escape(f"{status.path}: {status.model}, seed {status.seed}")
    state = STATES[status.state].format(command=status.command)
    console.print(f"{title}, {state}", highlight=False, soft_wrap=True)
    if status.summary and status.command == "run":
        print_summary(status.summary, status.path, console)
    elif status.summary:
        from reasonmaxxer.report.page import print_report  # here, because it may load torch

        print_report(status.path, console)
    else:
        _print_progress(status, console)


def _print_progress(status: Status, console: Console) -> None:
    stages = [(one.stage, one.state, _counted(one.seconds), _counted(one.tokens)) for one in status.stages]
    tables = [Table("stages", "", ("stage", "state", "seconds so far", "tokens so far"), stages)]
    if status.sampled:
        columns = ("set", "done", "right", "mixed problems", "unparsed", "cut")
        sampled = [_sampled(part) for part in status.sampled]
        tables.append(Table("completions", "Completions so far", columns, sampled))
    for table in tables:
        console.print(to_terminal(table))
    for name, rows in status.training.items():
        for line in _training(name, rows):
            console.print(line, highlight=False, soft_wrap=True)


def _counted(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _sampled(part: Sampled) -> tuple[str, ...]:
    done = f"{part.finished:,}" + (f"/{part.total:,}" if part.total else "")
    shares = (part.outcomes.get("correct", 0), part.outcomes.get("unparsed", 0), part.truncated)
    right, unparsed, cut = (f"{s / part.done:.0%}" if part.done else "" for s in shares)
    mixed = f"{part.mixed}/{part.problems}" if part.done > part.problems else ""
    return part.name, done, right, mixed, unparsed, cut


def _training(of: str, rows: list[dict[str, Any]]) -> list[str]:
    """The last metrics of the training of a gate or a round, each with its course so far."""
    if not rows:
        return [f"Training, {of}: no step yet"]
    last = rows[-1]
    names = ("loss", "reward", "kl", "delta_logprob_positive", "delta_logprob_negative")
    lines = [f"Training, {of}: step {last['step']} of {last['steps']}"]
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
