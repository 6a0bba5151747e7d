"""A plan as a table and sentences, which never leave open what was measured and what is assumed."""

from reasonmaxxer.cost.meter import StageCost
from reasonmaxxer.cost.plan import Plan
from reasonmaxxer.report.content import Table


def plan_table(plan: Plan) -> Table:
    """Stages and their sum; the columns of hours and USD say what they rest on."""
    basis = "measured rate" if plan.rates.measured else "ASSUMED rate"
    columns = ("stage", "tokens", "PFLOPs", "peak GiB", f"hours, {basis}", f"USD, {basis}", "fits")
    rows = [_row(plan, stage) for stage in (*plan.stages, plan.total)]
    return Table("plan", f"Plan on {plan.device.name}", columns, rows, " ".join(plan_words(plan)))


def plan_words(plan: Plan) -> list[str]:
    """What the table rests on, one sentence each."""
    lengths, rates, device = plan.lengths, plan.rates, plan.device
    how = "Measured here" if rates.measured else "Assumed, not measured"
    said = [
        f"{how}: completions of {lengths.completion:,.0f} tokens on average, prompts of {lengths.prompt}, decision "
        f"points at {lengths.decision_share:.0%} of positions."
    ]
    peak = "" if rates.measured else f" of {device.products / 1e12:,.4g} TFLOP/s"
    speeds = [
        f"{rate / 1e12:,.3g} TFLOP/s{'' if rates.measured else f' ({rate / device.products:.0%}{peak})'} to {kind}"
        for kind, rate in rates.flops.items()
    ]
    if rates.bandwidth:
        share = f"{rates.bandwidth / device.bandwidth:.0%} of {device.bandwidth / 1e9:,.0f} GB/s"
        speeds.append(f"{rates.bandwidth / 1e9:,.0f} GB/s from memory ({share}), whichever takes longer")
    said.append(f"{how}: {', '.join(speeds)}.")
    price = plan.price
    if price.usd_per_hour is None:
        said.append(f"No price is known for {device.name}: set cost.usd_per_hour.")
    else:
        said.append(f"{price.usd_per_hour:.2f} USD an hour: {price.name}, {price.source}.")
    return said + [f"Does not fit: {sentence}" for sentence in plan.advice]


def _row(plan: Plan, stage: StageCost) -> tuple[str, ...]:
    usd = stage.usd
    return (
        stage.stage,
        f"{stage.tokens:,}",
        f"{stage.flops / 1e15:,.3g}",
        f"{stage.peak_memory_bytes / 2**30:.1f}",
        f"{stage.seconds / 3600:,.3g}",
        "?" if usd is None else f"{usd:,.3g}",
        "yes" if plan.fits(stage) else "NO",
    )
