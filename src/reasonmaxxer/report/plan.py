"""A plan as people read it in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from reasonmaxxer.cost.planning.assumed import Assumptions
from reasonmaxxer.cost.planning.devices import Device
from reasonmaxxer.cost.planning.plan import Plan, StagePlan
from reasonmaxxer.cost.prices import Price

ESTIMATED = "estimated: no run was measured on such a device"
FITTED = "fitted to measured runs"


def print_plan(
    plans: tuple[Plan, Plan, Plan],
    assumed: tuple[Assumptions, Assumptions, Assumptions],
    device: Device,
    price: Price,
    console: Console,
) -> None:
    """Print the plan stage by stage, what it rests on, and what does not fit.

    Args:
        plans: with short, middling and long completions.
        assumed: of each.
        device: where.
        price: of an hour of it.
        console: of the terminal.
    """
    console.print(_table(plans[1], device))
    for line in _words(plans, assumed, device, price):
        console.print(line, highlight=False, soft_wrap=True)
    for sentence in plans[1].advice:
        console.print(f"[bold red]Does not fit:[/] {sentence}", highlight=False, soft_wrap=True)


def _table(plan: Plan, device: Device) -> Table:
    basis = ESTIMATED if device.kind.estimated else FITTED
    table = Table(title=f"Plan on {device.name}; hours and USD {basis}", title_justify="left")
    table.add_column("stage")
    mark = ", est." if device.kind.estimated else ""
    for column in ("tokens", "PFLOPs", "peak GiB", f"hours{mark}", f"USD{mark}", "fits"):
        table.add_column(column, justify="right")
    for stage in [*plan.stages, plan.total]:
        if stage.stage == "total":
            table.add_section()
        table.add_row(*_cells(stage))
    return table


def _cells(stage: StagePlan) -> tuple[str, ...]:
    return (
        stage.stage,
        f"{stage.tokens:,}",
        f"{stage.flops / 1e15:,.3g}",
        f"{stage.peak_memory_bytes / 2**30:.1f}",
        f"{stage.seconds / 3600:.2f}",
        _usd(stage.usd),
        "yes" if stage.fits else "[bold red]no[/]",
    )


def _words(
    plans: tuple[Plan, Plan, Plan], assumed: tuple[Assumptions, Assumptions, Assumptions], device: Device, price: Price
) -> list[str]:
    low, middling, high = assumed
    said = [
        f"Completions of {middling.mean_tokens:,.0f} tokens on average, prompts of "
        f"{middling.prompt_tokens}, decision points at {middling.decision_share:.0%} of positions: "
        "assumed where not given or counted."
    ]
    if low != high:
        hours = " to ".join(f"{plan.total.seconds / 3600:.2f}" for plan in (plans[0], plans[2]))
        usd = " to ".join(_usd(plan.total.usd) for plan in (plans[0], plans[2]))
        said.append(
            f"With {low.mean_tokens:,.0f} to {high.mean_tokens:,.0f} tokens: {hours} hours, {usd} USD. "
            "--mean-tokens takes a better number."
        )
    if price.usd_per_hour is None:
        said.append(f"No price is known for {device.name}: set cost.usd_per_hour.")
    else:
        said.append(f"{price.usd_per_hour:.2f} USD an hour: {price.name}, {price.source}.")
    return said


def _usd(usd: float | None) -> str:
    return "?" if usd is None else f"{usd:.2f}" if usd >= 1 else f"{usd:.4f}"
