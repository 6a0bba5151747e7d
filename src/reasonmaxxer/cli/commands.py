"""Commands that do long work: one row of a table each, all configured alike.

`reasonmaxxer COMMAND [CONFIG.yaml] [MODEL ...] [section.key=value ...]`. What kind of config a command has stands in
`reasonmaxxer.recipe.CONFIGS`; a new key is a field of that config and nothing here.
"""

# No `from __future__ import annotations`: typer reads the annotations of functions made in `_function`.
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonmaxxer.cli.common import TrustRemoteCode, quiet_libraries
from reasonmaxxer.errors import UserError

if TYPE_CHECKING:
    from reasonmaxxer.config import Config

CONFIG_SUFFIXES = (".yaml", ".yml")
AGAIN = "The same command again goes on where it stopped."
RUN, MICROSCOPE = "reasonmaxxer.work.main_job:run", "reasonmaxxer.work.microscope"
Out = Annotated[Path | None, typer.Option(help="Folder of the results.", show_default="in runs/")]
Reuse = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="A folder whose results are taken over where the same would be done again."),
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show every key and its value, and stop.")]
AllowCode = Annotated[bool, typer.Option("--allow-code", help="Let the config run code outside its folder.")]
SPLITS = ("problems.train.limit", "problems.validation.limit", "problems.test.limit")


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: of the command.
        usage: its arguments, keys aside.
        models: key that each positional model sets; a key that is there twice takes a list.
        limits: keys that `--limit` sets.
        work: `module:function`, called with config, folder and display; returns what it found.
        help: first line and description.
    """

    name: str
    usage: str
    models: Sequence[str]
    limits: Sequence[str]
    work: str
    help: str

    @property
    def is_run(self) -> bool:
        """Whether it runs a recipe, which may be a shipped one, perhaps in several processes."""
        return self.work == RUN


_TABLE = (
    Command(
        "run", "[RECIPE|CONFIG.yaml]", (), SPLITS, RUN,
        "Train a language model on its own rollouts and measure what it gained.\n\n",
    ),
    Command(
        "baseline", "grpo|rloo|sft|dpo|kto [RECIPE|CONFIG.yaml]", (), SPLITS, RUN,
        "Run a recipe with another method in the place of ReasonMaxxer's training.\n\n"
        "Problems, prompts, verifier, adapter, evaluation and meter stay the recipe's. ",
    ),
    Command(
        "evaluate", "MODEL", ("model",), ("limit",), "reasonmaxxer.work.evaluate:evaluate",
        "Measure a model on benchmarks: accuracy with intervals, by level and subject, beside published ones.\n\n"
        "Writes every completion, summary.json, results.md and report.html. ",
    ),
    Command(
        "diff", "BASE TUNED", ("base", "tuned"), ("problems.limit",), f"{MICROSCOPE}:diff",
        "Compare a base with a tuned model token by token: where they differ, how far, and how likely it was.\n\n"
        "Writes a table by position, summary.json and a page. ",
    ),
    Command(
        "intervene", "BASE TUNED", ("base", "tuned"), ("problems.limit",), f"{MICROSCOPE}:intervene",
        "Put a tuned model's tokens into its base's answers as they are made, and see what becomes of them.\n\n"
        "Writes every answer and edit, summary.json and a page. ",
    ),
    Command(
        "overlap", "BASE TUNED_A TUNED_B", ("base", "tuned", "tuned"), ("problems.limit",), f"{MICROSCOPE}:overlap",
        "Hold the token edits of two models tuned from one base against each other, and against chance.\n\n"
        "Writes summary.json and a page. ",
    ),
    Command(
        "distill", "BASE TEACHER", ("base", "teacher"), ("train.limit", "test.limit"),
        "reasonmaxxer.work.distill:distill",
        "Distil what a model learnt into small adapters of its base, and measure how little is enough.\n\n"
        "Writes the adapters, summary.json and a page. ",
    ),
)  # fmt: skip
COMMANDS: Mapping[str, Command] = {command.name: command for command in _TABLE}


def sort_arguments(arguments: Sequence[str], recipes: bool = False) -> tuple[str | None, list[str], list[str]]:
    """Sort positional arguments by what they are.

    Args:
        arguments: as typed.
        recipes: whether a name alone is that of a shipped recipe.

    Returns:
        The config, a file or a shipped recipe, None where there is none; overrides; and the others.

    Raises:
        UserError: there are two configs.
    """
    overrides = [a for a in arguments if "=" in a and "/" not in a.partition("=")[0]]
    rest = [a for a in arguments if a not in overrides]
    configs = [a for a in rest if recipes or a.endswith(CONFIG_SUFFIXES)]
    if len(configs) > 1:
        raise UserError(f"'{configs[1]}' is neither a second recipe nor a key: set keys as section.key=value.")
    return (configs[0] if configs else None), overrides, [a for a in rest if a not in configs]


def read_config(
    command: Command, arguments: Sequence[str], limit: int | None = None, allow_code: bool = False
) -> tuple["Config", Path]:
    """Config of a command as it was typed, and the folder where its results go by default.

    Raises:
        UserError: arguments, file or keys make no sense.
    """
    from reasonmaxxer.recipe import CONFIGS, load_config, load_recipe

    limits = [] if limit is None else [f"{key}={limit}" for key in command.limits]
    if command.is_run:
        method, arguments = _method(command, arguments)
        name, typed, _ = sort_arguments(arguments, recipes=True)
        name, overrides = name or "default", [*limits, *typed]
        recipe = load_recipe(name, overrides, method, allow_code)
        parts = [Path(name).stem, method, recipe.hash()[:8] if overrides else None]
        return recipe, Path("runs") / "-".join(filter(None, parts))
    file, typed, models = sort_arguments(arguments)
    overrides = [*_models(command, models), *limits, *typed]
    config = load_config(CONFIGS[command.name], file, overrides, command.models, allow_code, command.name)
    named = [_named(config, key) for key in dict.fromkeys((*command.models, "adapter"))]
    return config, Path("runs") / "-".join([command.name, *(Path(name).name for names in named for name in names)])


def _method(command: Command, arguments: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The method of a baseline, and the other arguments."""
    if command.name == "run":
        return None, arguments
    if not arguments:
        raise UserError(f"Which method? reasonmaxxer {command.name} {command.usage}.")
    return arguments[0], arguments[1:]


def _models(command: Command, models: Sequence[str]) -> list[str]:
    """Positional models as overrides."""
    if surplus := models[len(command.models) :]:
        raise UserError(
            f"'{surplus[0]}' is neither a model of `reasonmaxxer {command.name} {command.usage}`, nor a config, which "
            "ends in .yaml, nor a key: set keys as section.key=value."
        )
    named: dict[str, list[str]] = {}
    for key, model in zip(command.models, models, strict=False):
        named.setdefault(key, []).append(model)
    values: Mapping[str, Any] = {key: of if len(of) > 1 else of[0] for key, of in named.items()}
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _named(config: Any, key: str) -> Sequence[str]:
    """Names of the models under a key of a config."""
    value = getattr(config, key, None)
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (getattr(value, "name", value),)


def _start(command: Command, config: Any, out: Path, reuse: Path | None, trust_remote_code: bool) -> None:
    """Do the work and print what it found."""
    from rich.console import Console

    from reasonmaxxer.method.processes import is_first
    from reasonmaxxer.work.join import join
    from reasonmaxxer.work.pages import show_end
    from reasonmaxxer.work.progress import Display

    quiet_libraries()
    if command.is_run and not is_first():
        join(config, out, trust_remote_code=trust_remote_code)
        return
    console = Console()
    work = pkgutil.resolve_name(command.work)
    work(config, out, Display(console), reuse=reuse, trust_remote_code=trust_remote_code)
    show_end(out, console)


def _function(command: Command) -> Callable[..., None]:
    """The function behind a command, which typer makes its options of."""

    def function(
        arguments: Annotated[
            list[str] | None,
            typer.Argument(
                metavar=f"{command.usage}{'' if command.is_run else ' [CONFIG.yaml]'} [KEY=VALUE]...",
                help="What to work on; a file of keys; and keys to set, as in seed=1. docs/recipe.md describes them.",
                show_default=False,
            ),
        ] = None,
        out: Out = None,
        limit: Annotated[
            int | None,
            typer.Option(help=f"Problems taken: short for {', '.join(command.limits)}.", show_default=False),
        ] = None,
        reuse: Reuse = None,
        print_config: PrintConfig = False,
        allow_code: AllowCode = False,
        trust_remote_code: TrustRemoteCode = False,
    ) -> None:
        config, folder = read_config(command, arguments or [], limit, allow_code or print_config)
        if print_config:
            from reasonmaxxer.recipe import dump_config

            typer.echo(dump_config(config), nl=False)
        else:
            _start(command, config, out or folder, reuse, trust_remote_code)

    return function


def register(app: typer.Typer) -> None:
    """Put the commands on the command line."""
    for command in COMMANDS.values():
        app.command(command.name, help=command.help + AGAIN)(_function(command))
