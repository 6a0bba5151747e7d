"""The page of a comparison of runs: accuracy, pass@k and cost of every arm, and what others have published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object, write_json
from reasonmaxxer.measure.arms import read_arms
from reasonmaxxer.measure.comparison import Comparison, compare, crossing
from reasonmaxxer.measure.published import published_costs
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table
from reasonmaxxer.report.numbers import counted, number, signed
from reasonmaxxer.report.page import write_report
from reasonmaxxer.report.tables import cost_cells

Found = Mapping[str, Any]
"""What `comparison.json` holds."""


def write_comparison(runs: Sequence[Path], out: Path) -> Comparison:
    """Compare runs of one model and write `comparison.html`, `.md`, `.tex` and `.json` into a folder.

    Args:
        runs: run directories; the first is what costs are held against.
        out: folder to write to.

    Returns:
        What `comparison.json` holds.

    Raises:
        UserError: runs that are unfinished or cannot be compared.
    """
    found = compare(read_arms(runs))
    write_json(found, out / "comparison.json")
    write_report(out)
    return found


def content(folder: Path) -> Content:
    """The page of a finished folder of `compare`."""
    found = read_object(folder / "comparison.json", ("schema",))
    arms = found["arms"]
    tables = [_accuracy(found), _pass_at(found), _cost(arms), _ratios(found), _published()]
    return Content(
        command=f"comparison of {counted(len(arms) - 1, 'arm')} with the base",
        title=found["model"]["name"],
        lead=lead(found),
        findings=[],
        caveats=[],
        sections=[
            Section("result", "Side by side", _panels(found)),
            *(
                Section(table.name.replace("-table", "-section"), table.title, tables=[table])
                for table in tables
                if table.rows
            ),
        ],
        facts=[(arm["name"], run) for arm in arms for run in arm["runs"]],
    )


def lead(found: Found) -> str:
    """What was measured, in a sentence or two."""
    protocol = found["protocol"]
    return (
        f"{found['test_problems']} test problems, answered greedily; {found['sampled_problems']} of them "
        f"sampled at temperature {protocol['temperature']}, top-p {protocol['top_p']}; at most "
        f"{protocol['max_new_tokens']} new tokens; prompt style {protocol['prompt_style']}. Intervals are "
        f"{protocol['confidence']:.0%} bootstrap over problems, each with its mean over the seeds."
    )


def _panels(found: Found) -> list[Panel]:
    arms = found["arms"]
    made = [
        Panel(
            "accuracy",
            "Accuracy",
            figures.arms_accuracy(arms),
            f"Greedy, n = {found['test_problems']} test problems. Bars: intervals over problems; ticks: "
            "seeds; dotted: the base.",
        )
    ]
    if any(arm["pass_at"] for arm in arms):
        made.append(
            Panel(
                "pass-at-k",
                "pass@k",
                figures.pass_at_k(arms),
                f"Unbiased estimates over {found['sampled_problems']} test problems; bands: intervals over "
                f"problems. {_crossings(arms)}",
            )
        )
    if any(arm.get("curve") for arm in arms):
        for unit, spent in (("flops", "computation"), ("seconds", "time")):
            made.append(
                Panel(
                    f"cost-{unit}",
                    f"Accuracy against {spent}",
                    figures.accuracy_cost(arms, unit),
                    "Every checkpoint of every arm on the validation problems, by what had been spent by "
                    "then; trying the checkpoints is not counted. Bands: intervals over problems.",
                )
            )
    return made


def _crossings(arms: Sequence[Found]) -> str:
    crossed = {arm["name"]: crossing(arm) for arm in arms[1:] if arm["pass_at"]}
    said = [f"the base overtakes {name} at k = {k}" for name, k in crossed.items() if k]
    if said:
        return f"{'; '.join(['T' + said[0][1:], *said[1:]])} (of the estimates; their intervals may overlap)."
    return "The base overtakes no arm that was ahead of it."


def _accuracy(found: Found) -> Table:
    rows: list[tuple[str, ...]] = []
    for arm in found["arms"]:
        difference = arm.get("difference")
        paired = ""
        if difference and "gained" in difference:
            paired = f"{difference['gained']} / {difference['lost']}, p = {difference['p_value']:.2g}"
        rows.append(
            (
                arm["name"],
                ", ".join(map(str, arm["seeds"])),
                number(arm["greedy"], 3),
                ", ".join(f"{value:.2f}" for value in arm["greedy"]["by_seed"]),
                signed(difference) if difference else "",
                paired,
                f"{arm['truncated_share']:.0%}",
            )
        )
    return Table(
        "accuracy-table",
        "Accuracy",
        ("arm", "seeds", "greedy pass@1", "by seed", "minus base", "gained / lost", "cut"),
        rows,
        f"{found['test_problems']} test problems. Differences are paired; p: exact McNemar, of one seed. "
        "cut: completions that reach the length limit.",
        headline=True,
    )


def _pass_at(found: Found) -> Table:
    drawn = [arm for arm in found["arms"] if arm["pass_at"]]
    ks = sorted({row["k"] for arm in drawn for row in arm["pass_at"]})
    rows: list[tuple[str, ...]] = []
    for arm in drawn:
        by_k = {row["k"]: row for row in arm["pass_at"]}
        crossed = crossing(arm)
        cells = [f"{by_k[k]['value']:.3f}" if k in by_k else "" for k in ks]
        difference = arm["pass_at"][-1].get("difference")
        rows.append(
            (
                arm["name"],
                *cells,
                signed(difference) if difference else "",
                str(crossed) if crossed else "none" if arm is not drawn[0] else "",
            )
        )
    return Table(
        "pass-table",
        "pass@k",
        ("arm", *(f"k = {k}" for k in ks), "last k minus base", "base overtakes at k"),
        rows,
        f"{found['sampled_problems']} test problems at temperature {found['protocol']['temperature']}, "
        f"top-p {found['protocol']['top_p']}.",
        headline=True,
    )


def _cost(arms: Sequence[Found]) -> Table:
    rows: list[tuple[str, ...]] = [
        (arm["name"], *cost_cells(arm["cost"]), f"{arm['validation_cost']['seconds']:,.0f}")
        for arm in arms
        if "cost" in arm
    ]
    return Table(
        "cost-table",
        "Cost, measured",
        ("arm", "tokens", "TFLOPs", "seconds", "USD", "validation, seconds"),
        rows,
        "Rollouts, scoring and training up to the last checkpoint, mean over seeds; trying checkpoints on "
        "the validation problems is beside. FLOPs by formula, the rest measured.",
        headline=True,
    )


def _ratios(found: Found) -> Table:
    rows = [
        (
            f"{ratio['of']} / {ratio['to']}",
            f"{ratio['accuracy']:.3f}",
            *(_multiple(ratio.get(unit)) for unit in ("flops", "seconds", "usd")),
            f"{ratio['flops']['not_reached']:.0%}",
        )
        for ratio in found["ratios"]
    ]
    count = found["ratios"][0]["validation_problems"] if rows else 0
    return Table(
        "ratio-table",
        "Cost to be as right",
        ("cost of / cost to", "accuracy", "FLOPs", "seconds", "USD", "not reached"),
        rows,
        f"What an arm costs when it first is as right on the {count} validation problems as the first arm "
        "is at its last checkpoint, as a multiple of the first arm's cost. Intervals resample problems; "
        "not reached: the share of resamples in which no checkpoint is as right.",
        headline=True,
    )


def _published() -> Table:
    return Table(
        "published-table",
        "Published costs, for reference",
        ("model", "method", "average of six benchmarks", "USD", "how"),
        [
            (
                row.model,
                row.method,
                f"{row.printed:.3f}",
                f"{row.usd:,.0f}",
                "estimated" if row.estimated else "measured or reported",
            )
            for row in published_costs()
        ],
        "arXiv 2605.06241, Table 3: other models, problems and machines. Nothing here was measured by this "
        "package, and none of it is drawn.",
    )


def _multiple(ratio: Found | None) -> str:
    if ratio is None:
        return "not priced"
    value, low, high = ("never" if ratio[n] is None else f"{ratio[n]:.2f}" for n in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
