"""The command that tries the verifier on a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reasonmaxxer.cli.commands import sort_arguments
from reasonmaxxer.cli.common import print_table
from reasonmaxxer.errors import UserError

if TYPE_CHECKING:
    from reasonmaxxer.verify.file import GradedFile

_SHOWN = 5


def grade(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl",
            help="Rows of gold and prediction (an answer or a completion), and perhaps benchmark.",
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG.yaml] [KEY=VALUE]...",
            help="Keys of `verify`, as in extraction=boxed or workers=4 (docs/recipe.md).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Rows with their outcomes.", show_default="FILE.graded.jsonl")
    ] = None,
) -> None:
    """Grade answers in a file.

    Adds outcome and extracted to each row. Extraction `auto` takes the whole prediction if it is an answer
    alone, else the answer it states.
    """
    from rich.console import Console

    from reasonmaxxer.artifacts import check_target
    from reasonmaxxer.config import VerifyConfig
    from reasonmaxxer.recipe import load_config
    from reasonmaxxer.verify import Outcome
    from reasonmaxxer.verify.file import grade_file, read_rows
    from reasonmaxxer.work.progress import Display

    out = out or file.with_name(f"{file.stem}.graded.jsonl")
    check_target(out)
    if out.resolve() == file.resolve():
        raise UserError(f"--out {out} is the file that is read; name another.")
    name, overrides, others = sort_arguments(arguments or [])
    if others:
        raise UserError(f"'{others[0]}' is neither a config, which ends in .yaml, nor a key: set keys as key=value.")
    config = load_config(VerifyConfig, name, overrides, where="grade")
    if config.function:
        raise UserError("grade tries the maths grader: leave function out. A verifier of your own runs with a recipe.")
    rows = read_rows(file)
    with Display(Console()).task("grade", len(rows)) as task:
        graded = grade_file(rows, out, config, task.advance)
    names = [outcome.value for outcome in Outcome]
    cells: list[list[str | int]] = [
        [benchmark or "(none: exact)", counts.total(), *(counts[name] for name in names)]
        for benchmark, counts in sorted(graded.outcomes.items())
    ]
    print_table(("benchmark", "rows", *names), cells)
    typer.echo("\n".join(_lines(graded)))


def _lines(graded: GradedFile) -> list[str]:
    """What stands below the table."""
    lines = [
        f"{graded.rows:,} rows in {graded.seconds:.1f} s, the start of the grading processes included: "
        f"{graded.rows / graded.seconds:,.0f} a second."
    ]
    if graded.failed:
        lines.append(f"{len(graded.failed):,} could not be graded:")
    for problem, found in graded.failed[:_SHOWN]:
        lines.append(f"  {problem.id}: {found.detail}")
    return [line[:300] for line in lines] + [str(graded.out)]
