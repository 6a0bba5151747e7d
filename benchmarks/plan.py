"""How good the predictions of `reasonmaxxer plan` are: finished runs against plans of their recipes.

    python benchmarks/plan.py RUN... [--rates PRODUCTS COPIED] [--json FILE]

A plan is given what only the run could tell: mean lengths of prompts and completions, and the share of
decision points. Each figure is the prediction over the measurement; 1 is right. Rates are this machine's,
of a large product (FLOP/s) and of a large copy (bytes/s); without them they are measured, which wants an
idle machine. Seconds mean something only of runs that had the machine to themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import Recipe
from reasonmaxxer.cost.planning.assumed import Assumptions
from reasonmaxxer.cost.planning.devices import Device, this_cpu
from reasonmaxxer.cost.planning.plan import make_plan
from reasonmaxxer.cost.planning.shapes import shape_of
from reasonmaxxer.recipe import load_recipe

FIGURES = ("tokens", "flops", "peak_memory_bytes", "seconds")


def told(summary: dict[str, Any]) -> Assumptions:
    """What a finished run tells of its lengths and gate."""
    selection, rollouts = summary["selection"], summary["rollouts"]
    read = summary["training"]["tokens"] - selection["tokens"]
    return Assumptions(
        prompt_tokens=round(read / selection["sequences"]),
        mean_tokens=rollouts["tokens"] / rollouts["rollouts"],
        decision_share=summary["gate"]["decision_share"],
    )


def compared(run: Path, device: Device) -> list[dict[str, Any]]:
    """Predicted over measured, stage by stage."""
    recipe: Recipe = load_recipe(str(run / "recipe.yaml"))
    summary = read_json(run / "summary.json")
    itemsize = getattr(torch, summary["model"]["dtype"]).itemsize
    shape = shape_of(recipe.model, recipe.training.adapter, itemsize)
    plan = make_plan(recipe, shape, device, told(summary)).to_dict()
    stages = {stage["stage"]: stage for stage in [*plan["stages"], plan["total"]]}
    measured = [*summary["cost"]["stages"], summary["cost"]["total"]]
    return [
        {
            "stage": cost["stage"],
            **{name: stages[cost["stage"]][name] / cost[name] for name in FIGURES if cost[name]},
            "predicted": {name: stages[cost["stage"]][name] for name in FIGURES},
            "measured": {name: cost[name] for name in FIGURES},
        }
        for cost in measured
        if cost["stage"] in stages
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--rates", nargs=2, type=float, metavar=("PRODUCTS", "COPIED"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device = this_cpu(torch.bfloat16, tuple(arguments.rates) if arguments.rates else None)
    found = {str(run): compared(run, device) for run in arguments.runs}
    console = Console()
    for run, rows in found.items():
        table = Table("stage", *FIGURES, title=f"{run}: predicted / measured", title_justify="left")
        for row in rows:
            table.add_row(row["stage"], *(f"{row[name]:.2f}" for name in FIGURES))
        console.print(table)
    if arguments.json:
        write_json(found, arguments.json)


if __name__ == "__main__":
    main()
