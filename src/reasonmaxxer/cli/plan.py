"""The command that predicts a run before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reasonmaxxer.cli.common import TrustRemoteCode
from reasonmaxxer.cli.jobs import sort_arguments


def plan(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE] [KEY=VALUE]...", help="As of `run`.", show_default=False)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="h100|h100-sxm|h200|a100-80g|rtx-pro-6000|rtx-4090|l4",
            help="Where it would run.",
            show_default="this machine's CPU, measured",
        ),
    ] = None,
    mean_tokens: Annotated[
        float | None, typer.Option(min=1, help="Mean length of a completion.", show_default="an assumption by model")
    ] = None,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean length of a prompt.", show_default="counted, else 110")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for the figures.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Predict tokens, FLOPs, memory, hours and dollars of a run, and what makes it fit.

    No weights are read and nothing is trained.
    """
    from rich.console import Console

    from reasonmaxxer.artifacts import write_json
    from reasonmaxxer.cost.planning.assumed import assumptions
    from reasonmaxxer.cost.planning.plan import describe_plans, make_plan, place
    from reasonmaxxer.recipe import load_recipe
    from reasonmaxxer.report.plan import print_plan

    name, overrides, _ = sort_arguments(arguments or [], recipes=True)
    recipe = load_recipe(name or "default", overrides, allow_code=True)  # nothing of it runs
    where, shape, price = place(recipe, device, trust_remote_code)
    assumed = assumptions(recipe, mean_tokens, prompt_tokens)
    low, middling, high = (make_plan(recipe, shape, where, each, price.usd_per_hour) for each in assumed)
    plans = (low, middling, high)
    print_plan(plans, assumed, where, price, Console())
    if json:
        write_json(describe_plans(plans, assumed, where, price), json)


def register(app: typer.Typer) -> None:
    """Put the command on the command line."""
    app.command()(plan)
