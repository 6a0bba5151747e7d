"""Options that several commands share, and what makes a config of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from reasonmaxxer.errors import UserError


def _dtype(auto: str) -> Any:
    """The option of that name, of a command whose `auto` is this."""
    return typer.Option(metavar="auto|float32|bfloat16|float16", help="Weights' type.", show_default=f"auto: {auto}")


Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE] [KEY=VALUE]...",
        help="A shipped recipe or a .yaml file of your own (default: default), and keys to set, "
        "as in seed=1 or rollouts.temperature=0.7.",
        show_default=False,
    ),
]
Base = Annotated[str, typer.Argument(metavar="BASE", help="Hub id, folder, PEFT folder or embedded model.")]
Tuned = Annotated[str, typer.Argument(metavar="TUNED", help="The same, trained from it.")]
Problems = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="word-problems, reasoning-gym/TASK, a file of problems, or a data set's hub id.",
        show_default="word-problems",
    ),
]
Split = Annotated[str | None, typer.Option(help="Split of the source.", show_default="test")]
Limit = Annotated[int | None, typer.Option(help="Problems taken.", show_default="100")]
PromptStyle = Annotated[
    str | None,
    typer.Option(
        metavar="chat_template|chat_boxed|qwen_boxed|llama_abel",
        help="Prompt of all models.",
        show_default="chat_template",
    ),
]
Extraction = Annotated[
    str | None,
    typer.Option(metavar="auto|answer|boxed|last_number", help="Where the answer is read.", show_default="auto"),
]
Verifier = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:FUNCTION", help="A verifier of your own, instead of reading an answer.", show_default="none"
    ),
]
MaxNewTokens = Annotated[int | None, typer.Option(help="Longest answer, tokens.", show_default="120")]
Seed = Annotated[int | None, typer.Option(help="Of every draw.", show_default="0")]
Dtype = Annotated[str | None, _dtype("float32 on a CPU")]
NativeDtype = Annotated[str | None, _dtype("bfloat16 where the device has it")]
Device = Annotated[str | None, typer.Option(help="torch device.", show_default="CUDA where there is one")]
Out = Annotated[Path | None, typer.Option(help="Folder of the results.", show_default=False)]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the models' repositories run their code.")
]


def given(**values: Any) -> dict[str, Any]:
    """Options that were set; the rest take the config's defaults."""
    return {name: value for name, value in values.items() if value is not None}


def chosen(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Options that are called as their keys are, of those that were set."""
    return given(**{name: options.get(name) for name in names})


def verify_values(options: dict[str, Any]) -> dict[str, Any]:
    """Section `verify` of what `Extraction` and `Verifier` say."""
    return {**chosen(options, "extraction"), **given(function=options["verifier"])}


def folder_of(command: str, *models: str) -> Path:
    """Where results go that were not given a folder."""
    return Path("runs") / "-".join((command, *(Path(name).name for name in models)))


def split_arguments(arguments: list[str]) -> tuple[str, tuple[str, ...]]:
    """Recipe name and overrides of `Arguments`.

    Raises:
        UserError: more than one is no override.
    """
    names = [a for a in arguments if "=" not in a]
    if len(names) > 1:
        raise UserError(f"'{names[1]}' is neither a second recipe nor a key: set keys as section.key=value.")
    return (names or ["default"])[0], tuple(a for a in arguments if "=" in a)


def hush() -> None:
    """Keep what transformers says of its own future, and its bars of weights, off the terminal."""
    from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]
    from transformers.utils.logging import disable_progress_bar

    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    disable_progress_bar()
    enable_progress_bars()  # those of downloads


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print rows on the terminal, none of them cut."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(name, overflow="fold") for name in columns))
    for row in rows:
        table.add_row(*row)
    Console().print(table)
