"""The command line: a thin shell over `pipeline.run` and others. Slow imports wait for their use."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from reasonmaxxer import __version__
from reasonmaxxer.cli_microscope import hush, register
from reasonmaxxer.errors import UserError

INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Better reasoning from a language model's own rollouts, without reinforcement learning.",
)


RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]


Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A shipped recipe or a .yaml file of your own (default: default), and keys to set, "
        "as in seed=1 or rollouts.temperature=0.7.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Run directory.", show_default="runs/RECIPE")]
Reuse = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="A run whose results are taken over where the same would be done again."
    ),
]
PrintRecipe = Annotated[
    bool, typer.Option("--print-recipe", help="Show the resolved recipe and stop.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the model's repository run its code.")
]


@app.command()
def run(
    arguments: Arguments = None,
    out: Out = None,
    reuse: Reuse = None,
    print_recipe: PrintRecipe = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train a language model on its own rollouts and measure what it gained.

    A run that was interrupted goes on where it was when the same command is given again.
    """
    _run(arguments or [], None, out, reuse, print_recipe, trust_remote_code)


@app.command()
def baseline(
    method: Annotated[str, typer.Argument(metavar="grpo|rloo|sft|dpo|kto", help="What trains.")],
    arguments: Arguments = None,
    out: Out = None,
    reuse: Reuse = None,
    print_recipe: PrintRecipe = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Run a recipe with another method in the place of ReasonMaxxer's training.

    Problems, prompts, verifier, adapter, evaluation and meter stay the recipe's. An interrupted run goes
    on where it was when the same command is given again.
    """
    _run(arguments or [], method, out, reuse, print_recipe, trust_remote_code)


def _run(
    arguments: list[str],
    method: str | None,
    out: Path | None,
    reuse: Path | None,
    print_recipe: bool,
    trust_remote_code: bool,
) -> None:
    from reasonmaxxer.recipe import dump_recipe, load_recipe

    name, overrides = _split(arguments)
    recipe = load_recipe(name, overrides, method)
    if print_recipe:
        typer.echo(dump_recipe(recipe), nl=False)
        return
    suffix = f"-{recipe.hash()[:8]}" if overrides else ""
    stem = Path(name).stem if method is None else f"{Path(name).stem}-{method}"
    out = out or Path("runs") / f"{stem}{suffix}"

    from rich.console import Console

    from reasonmaxxer.pipeline import run as run_pipeline
    from reasonmaxxer.report.progress import Display
    from reasonmaxxer.report.terminal import print_summary

    hush()
    console = Console()
    summary = run_pipeline(
        recipe, out, display=Display(console), reuse=reuse, trust_remote_code=trust_remote_code
    )
    print_summary(summary, out, console)


@app.command()
def show(run: RunFolder) -> None:
    """Show the state of a run, finished, at work or stopped."""
    from rich.console import Console

    from reasonmaxxer.report.status import read_status
    from reasonmaxxer.report.terminal import print_status

    print_status(read_status(run), Console())


@app.command()
def report(run: RunFolder) -> None:
    """Draw report.html of a finished run again, for example of one copied from a server."""
    from reasonmaxxer.report.page import write_report

    typer.echo(write_report(run))


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Finished runs of one model; costs are held to the first."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/comparison"),
) -> None:
    """Compare runs: accuracy, pass@k and measured cost, as HTML, Markdown, LaTeX and JSON.

    Runs that differ only in their seed make one arm.
    """
    from rich.console import Console

    from reasonmaxxer.report.comparison_page import write_comparison
    from reasonmaxxer.report.terminal import print_comparison

    print_comparison(write_comparison(runs, out), out, Console())


@app.command()
def models() -> None:
    """List the models that need no hub."""
    from reasonmaxxer.models.embedded import EMBEDDED, cache_path, is_cached
    from reasonmaxxer.models.teachers import describe_teacher, teachers

    rows = [
        (name, model.description, str(cache_path(name)) if is_cached(name) else "on first use")
        for name, model in EMBEDDED.items()
    ]
    rows += [(name, describe_teacher(path), "in the package") for name, path in teachers().items()]
    _print_table(("name", "model", "cached"), rows)
    typer.echo("Any other causal language model: model.name=HUB_ID or model.name=FOLDER")


@app.command()
def recipes() -> None:
    """List the shipped recipes."""
    from reasonmaxxer.recipe import RECIPES

    rows = []
    for path in sorted(RECIPES.glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        rows.append((path.stem, first.removeprefix("# "), f"reasonmaxxer run {path.stem}"))
    _print_table(("name", "what it does", "command"), rows)


register(app)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"reasonmaxxer {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: an error of the user's is one sentence and exit status 2."""
    # Read by PyTorch at its first allocation: on Linux, huge pages for large tensors.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:
            _fail("Interrupted. Give the same command again to go on where it was.", status)
        sys.exit(status)
    except UserError as error:
        _fail(str(error), 2)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        if not _disk_is_full(error):
            raise
        _fail(
            f"The disk is full ({error}). Free some space and give the same command again: it goes on "
            "where it was.",
            1,
        )


def _split(arguments: list[str]) -> tuple[str, tuple[str, ...]]:
    """Recipe name and overrides."""
    names = [a for a in arguments if "=" not in a]
    if len(names) > 1:
        raise UserError(
            f"'{names[1]}' is neither a second recipe nor a key: set keys as section.key=value."
        )
    return (names or ["default"])[0], tuple(a for a in arguments if "=" in a)


def _disk_is_full(error: BaseException) -> bool:
    """Libraries wrap what the operating system says in errors of their own."""
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _fail(message: str, status: int) -> None:
    typer.echo(f"Error: {message}", err=True)
    sys.exit(status)


def _print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
