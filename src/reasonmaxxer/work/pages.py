"""What a command leaves to look at: pages, what was found on the terminal, the state on the way, runs side by side.

The command line comes here for it, and so knows neither the report nor the microscope.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.cost.plan import Plan
from reasonmaxxer.report.comparison import write_comparison
from reasonmaxxer.report.page import command_of, is_comparison, print_report, write_report
from reasonmaxxer.report.plan import plan_table, plan_words
from reasonmaxxer.report.render import to_terminal
from reasonmaxxer.report.status import print_status, print_summary
from reasonmaxxer.work.folder import SUMMARY
from reasonmaxxer.work.status import read_status


def draw(folder: Path) -> Path:
    """Write the page of a finished command's folder again; returns where it is."""
    return write_report(folder)


def show(folder: Path, console: Console) -> None:
    """Print where a command is, and what it found once it is done."""
    if is_comparison(folder):
        print_report(folder, console)
    else:
        print_status(read_status(folder), console)


def show_end(folder: Path, console: Console) -> None:
    """Print what a finished command found, and where its files are."""
    if command_of(folder) == "run":
        print_summary(read_object(folder / SUMMARY), folder, console)
    else:
        print_report(folder, console)


def compare(runs: Sequence[Path], out: Path, console: Console) -> None:
    """Put runs side by side: write the pages and print the headline."""
    write_comparison(runs, out)
    print_report(out, console)


def show_plan(plan: Plan, console: Console) -> None:
    """Print what a run will take."""
    console.print(to_terminal(replace(plan_table(plan), note="")))
    for sentence in plan_words(plan):
        console.print(sentence, highlight=False, soft_wrap=True, markup=False)
