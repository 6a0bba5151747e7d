"""The command line: a thin shell over `work`. Slow imports wait for their use."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer import __version__
from reasonmaxxer.cli import commands
from reasonmaxxer.cli.grade import grade
from reasonmaxxer.cli.plan import plan
from reasonmaxxer.cli.runs import compare, models, recipes, report, show
from reasonmaxxer.cli.share import export, merge
from reasonmaxxer.errors import UserError

FULL = ("No space left", "PytorchStreamWriter failed", "iostream error", "unexpected pos")
"""Parts of libraries' messages about a full disk; all but the first come from `torch.save`, which gives no reason."""
INTERRUPTED = 130
"""What typer makes of Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Better reasoning from a language model's own rollouts, without reinforcement learning.",
)
commands.register(app)
for command in (show, report, compare, models, recipes, plan, grade, merge, export):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _first(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        typer.echo(f"reasonmaxxer {__version__}")
        raise typer.Exit
    command, processes = context.invoked_subcommand, int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1 and command not in (None, "run", "baseline"):
        raise UserError(f"reasonmaxxer {command} works in one process, not {processes}: start it without a launcher.")


def main() -> None:
    """Entry point: an error of the user's is one sentence and exit status 2."""
    # Read by PyTorch at its first allocation: on Linux, huge pages for large tensors.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    sys.argv[1:] = map(_home, sys.argv[1:])
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:
            _fail("Interrupted. Give the same command again to go on where it was.", status)
        sys.exit(status)
    except UserError as error:
        _fail(str(error), 2)
    except FloatingPointError as error:
        _fail(f"{error} Training diverged: lower its learning rate. What was made before it is kept.", 2)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        if not _disk_is_full(error):
            raise
        _fail(
            f"The disk is full ({error}). Free some space and give the same command again: it goes on where it was.", 1
        )


def _home(argument: str) -> str:
    """An argument whose path begins with `~`, which a shell leaves as it is in `--out=~/runs`."""
    option = argument.startswith("--")
    name, equals, value = argument.partition("=") if option else ("", "", argument)
    return f"{name}{equals}{Path(value).expanduser()}" if value.startswith("~") else argument


def _disk_is_full(error: BaseException) -> bool:
    """Libraries wrap what the operating system says in errors of their own."""
    return getattr(error, "errno", None) == errno.ENOSPC or any(s in str(error) for s in FULL)


def _fail(message: str, status: int) -> None:
    typer.echo(f"Error: {message}", err=True)
    sys.exit(status)
