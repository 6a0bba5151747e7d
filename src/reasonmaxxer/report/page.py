"""`report.html`: one self-contained file that shows what a run did and found, with no network.

    Report.of(Path("runs/default"))             # shows itself in a notebook
    write_report(Path("runs/default"))          # runs/default/report.html

Everything is drawn from the run directory. Whatever a model wrote is escaped by the template, and a
content policy in the page forbids any request.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from reasonmaxxer.artifacts import write_text
from reasonmaxxer.config import Recipe
from reasonmaxxer.report import panels
from reasonmaxxer.report.results import Change, Comparison, Results, read_results
from reasonmaxxer.report.templates import fill
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.words import caveats, verdict
from reasonmaxxer.work.workspace import REPORT

SHOWN: dict[Change, int] = {"gained": 3, "lost": 3, "both": 2, "neither": 2}
"""Examples of each kind, the first in the order of the test problems."""
LISTED = 200
"""Gained and lost problems that are listed; the tables hold the rest."""
FOLD, CUT = 420, 20_000
"""Characters of a completion that are shown at once, and that the page holds at most."""


@dataclass(frozen=True)
class Report:
    """The report of one run as HTML; the last expression of a notebook cell shows it.

    Attributes:
        html: a whole page.
    """

    html: str

    @classmethod
    def of(cls, run: Path) -> Report:
        """Draw the report of a finished run.

        Args:
            run: its directory.

        Raises:
            UserError: it is no run directory, or its run is not finished.
        """
        results = read_results(run)
        inspected = (run / "inspection" / "stage.json").exists()
        return cls(render(results, viewer_fragment(viewer_data(run)) if inspected else ""))

    def save(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        write_text(self.html, path)

    def _repr_html_(self) -> str:
        page = html.escape(self.html)
        return f'<iframe srcdoc="{page}" style="width:100%;height:85vh;border:0"></iframe>'


def write_report(run: Path) -> Path:
    """Draw a finished run's report into its directory; returns where it is."""
    path = run / REPORT
    Report.of(run).save(path)
    return path


def render(results: Results, viewer: str = "") -> str:
    """The page as text; the same run gives the same text.

    Args:
        results: the run.
        viewer: HTML of the token viewer, trusted as it is; empty for none.
    """
    summary, recipe = results.summary, results.recipe
    return fill(
        "report.html.j2",
        summary=summary,
        recipe=recipe,
        machine=_machine(summary["environment"]["hardware"]),
        greedy=summary["difference"]["greedy"],
        verdict=verdict(summary["difference"]["greedy"], recipe["evaluation"]["confidence"]),
        caveats=caveats(summary, recipe),
        panels=_panels(results),
        examples=_examples(results.comparisons),
        changed=[c for c in results.comparisons if c.change in ("gained", "lost")],
        listed=LISTED,
        fold=FOLD,
        cut=CUT,
        differences=list(_differences(Recipe().model_dump(mode="json"), recipe)),
        recipe_text=yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True),
        viewer=Markup(viewer),
    )


def _panels(results: Results) -> dict[str, Any]:
    return {
        "headline": [panels.accuracy(results), panels.changes(results)],
        "signal": [panels.pool(results), panels.entropy(results)],
        "training": panels.training(results),
        "health": [panels.outcomes(results), panels.cost(results)],
    }


def _examples(comparisons: list[Comparison]) -> dict[str, tuple[int, list[Comparison]]]:
    """How many problems there are of each kind, and the first few of it."""
    kinds = {kind: [c for c in comparisons if c.change == kind] for kind in SHOWN}
    return {kind: (len(of), of[: SHOWN[kind]]) for kind, of in kinds.items() if of}


def _differences(default: Any, value: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Keys of a recipe that differ from the defaults: key, default and value."""
    if isinstance(default, dict) and isinstance(value, dict):
        for name in [*default, *(name for name in value if name not in default)]:
            inner = f"{key}.{name}" if key else name
            yield from _differences(default.get(name), value.get(name), inner)
    elif default != value:
        yield key, _yaml(default), _yaml(value)


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _machine(hardware: dict[str, Any]) -> str:
    return str(hardware.get("gpu") or f"{hardware['threads']} threads of {hardware['cpu']}")
