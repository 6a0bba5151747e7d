"""How good the formulas of `reasonmaxxer plan` are: finished runs against plans of their recipes.

    python benchmarks/plan.py RUN... [--json FILE]

A plan is told what only the run could tell: mean lengths of prompts and completions, and the share of decision
points. Each figure is the prediction over the measurement; 1 is right. Seconds are not compared: a plan measures
them (`--measure`) or assumes them.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.cost.plan import Lengths, assumed_rates, device_named, make_plan
from reasonmaxxer.cost.shape import shape_of
from reasonmaxxer.recipe import load_recipe

FIGURES = ("tokens", "flops", "peak_memory_bytes")


def lengths_of(summary: dict[str, Any]) -> Lengths:
    """What a finished run tells of its lengths and gate."""
    selection, rollouts = summary["selection"], summary["rollouts"]
    read = summary["training"]["tokens"] - selection["tokens"]
    return Lengths(
        prompt=round(read / selection["sequences"]),
        completion=rollouts["tokens"] / rollouts["rollouts"],
        decision_share=summary["gate"]["decision_share"],
    )


def compared(run: Path) -> list[dict[str, Any]]:
    """Predicted over measured, stage by stage, of a run on a CPU."""
    recipe = load_recipe(str(run / "recipe.yaml"))
    summary = read_json(run / "summary.json")
    shape, device = shape_of(recipe, getattr(torch, summary["model"]["dtype"]).itemsize), device_named("cpu")
    plan = make_plan(recipe, shape, device, lengths_of(summary), assumed_rates(device, shape))
    stages = {stage.stage: asdict(stage) for stage in [*plan.stages, plan.total]}
    return [
        {"stage": cost["stage"], **{name: stages[cost["stage"]][name] / cost[name] for name in FIGURES}}
        for cost in [*summary["cost"]["stages"], summary["cost"]["total"]]
        if cost["stage"] in stages
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows_by_run = {str(run): compared(run) for run in arguments.runs}
    console = Console()
    for run, rows in rows_by_run.items():
        table = Table("stage", *FIGURES, title=f"{run}: predicted / measured", title_justify="left")
        for row in rows:
            table.add_row(row["stage"], *(f"{row[name]:.2f}" for name in FIGURES))
        console.print(table)
    if arguments.json:
        write_json(rows_by_run, arguments.json)


if __name__ == "__main__":
    main()
