"""A comparison as one HTML page, and beside it the same tables for papers and programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import write_json, write_text
from reasonmaxxer.measure.arms import read_arms
from reasonmaxxer.measure.comparison import compare, crossing
from reasonmaxxer.report import figures
from reasonmaxxer.report.comparison_tables import NAME, lead, tables_of
from reasonmaxxer.report.content import Table
from reasonmaxxer.report.panels import Panel, panel
from reasonmaxxer.report.render import latex, markdown
from reasonmaxxer.report.templates import fill


def write_comparison(runs: Sequence[Path], out: Path) -> dict[str, Any]:
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
    tables = tables_of(found)
    write_json(found, out / f"{NAME}.json")
    write_text(markdown(found["model"]["name"], [lead(found)], tables), out / f"{NAME}.md")
    write_text("\n".join(latex(table) for table in tables), out / f"{NAME}.tex")
    write_text(render(found, tables), out / f"{NAME}.html")
    return found


def render(found: dict[str, Any], tables: Sequence[Table]) -> str:
    """The page as text; the same comparison gives the same text."""
    return fill(
        "comparison.html.j2", version=__version__, found=found, lead=lead(found), panels=_panels(found), tables=tables
    )


def _panels(found: dict[str, Any]) -> list[Panel]:
    arms = found["arms"]
    made = [
        panel(
            "accuracy",
            "Accuracy",
            figures.arms_accuracy(arms),
            f"Greedy, n = {found['test_problems']} test problems. Bars: intervals over problems; ticks: "
            "seeds; dotted: the base.",
        )
    ]
    if any(arm["pass_at"] for arm in arms):
        made.append(
            panel(
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
                panel(
                    f"cost-{unit}",
                    f"Accuracy against {spent}",
                    figures.accuracy_cost(arms, unit),
                    "Every checkpoint of every arm on the validation problems, by what had been spent by "
                    "then; trying the checkpoints is not counted. Bands: intervals over problems.",
                )
            )
    return made


def _crossings(arms: Sequence[dict[str, Any]]) -> str:
    crossed = {arm["name"]: crossing(arm) for arm in arms[1:] if arm["pass_at"]}
    said = [f"the base overtakes {name} at k = {k}" for name, k in crossed.items() if k]
    if said:
        return f"{'; '.join(said).capitalize()} (of the estimates; their intervals may overlap)."
    return "The base overtakes no arm that was ahead of it."
