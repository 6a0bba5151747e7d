"""The command that predicts a run before anything is spent."""

from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer.cli.commands import sort_arguments
from reasonmaxxer.cli.common import TrustRemoteCode, quiet_libraries


def plan(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE] [KEY=VALUE]...", help="As of `run`.", show_default=False)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="h100|h100-sxm|h200|a100-80g|rtx-pro-6000|rtx-4090|l4|cpu",
            help="Where it would run.",
            show_default="this machine's CPU",
        ),
    ] = None,
    measured: Annotated[
        bool, typer.Option("--measure", help="Run a batch of rollouts and a few steps here, and extrapolate.")
    ] = False,
    mean_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean length of a completion.", show_default="an assumption by model")
    ] = None,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean length of a prompt.", show_default="110")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for the figures.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Predict tokens, FLOPs, memory, hours and dollars of a run, and what makes it fit.

    No weights are read and nothing is trained, unless --measure is given.
    """
    from rich.console import Console

    from reasonmaxxer.artifacts import check_target, write_json
    from reasonmaxxer.recipe import load_recipe
    from reasonmaxxer.work.pages import show_plan
    from reasonmaxxer.work.plan import plan as make

    name, overrides, _ = sort_arguments(arguments or [], recipes=True)
    recipe = load_recipe(name or "default", overrides, allow_code=not measured)  # code runs with --measure alone
    if json:
        check_target(json)
    quiet_libraries()
    made = make(recipe, device, measured, mean_tokens, prompt_tokens, trust_remote_code)
    show_plan(made, Console())
    if json:
        write_json(made.to_dict(), json)
