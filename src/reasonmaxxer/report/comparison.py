"""The page of a comparison of runs: accuracy, pass@k and cost of every arm, and what others have published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object, write_json
from reasonmaxxer.measure.arms import read_arms
from reasonmaxxer.measure.comparison import Comparison, compare, crossing
from reasonmaxxer.measure.published import published_costs
from reasonmaxxer.measure.rivals import read_rivals
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table
from reasonmaxxer.report.numbers import counted, number, signed
from reasonmaxxer.report.page import write_report
from reasonmaxxer.report.tables import cost_cells
from reasonmaxxer.report.words import Words
from reasonmaxxer.work.folder import is_workspace, read_claim

Found = Mapping[str, Any]
"""What `comparison.json` holds."""


def write_comparison(runs: Sequence[Path], out: Path) -> Comparison:
    """Compare runs of one model and write `comparison.html`, `.md`, `.tex` and `.json` into a folder.

    Args:
        runs: run directories, the first of which is what costs are held against, and folders of `evaluate`.
        out: folder to write to.

    Returns:
        What `comparison.json` holds.

    Raises:
        UserError: runs that are unfinished or cannot be compared.
    """
    evaluations = [path for path in runs if is_workspace(path) and read_claim(path).command == "evaluate"]
    arms = read_arms([path for path in runs if path not in evaluations])
    found = compare(arms, read_rivals(evaluations, arms[1].runs[0]))
    write_json(found, out / "comparison.json")
    write_report(out)
    return found


def content(folder: Path) -> Content:
    """The page of a finished folder of `compare`."""
    found = read_object(folder / "comparison.json", ("schema",))
    arms, words = found["arms"], words_of(found)
    drawn = (_accuracy, _without_training, _pass_at, _cost, _ratios, _published)
    tables = [table(words) for table in drawn]
    return words.content(
        command=f"comparison of {counted(len(arms) - 1, 'arm')} with the base",
        title=found["model"]["name"],
        sections=[
            Section("result", "Side by side", list(_panels(words))),
            *(
                Section(table.name.replace("-table", "-section"), table.title, tables=[table])
                for table in tables
                if table.rows
            ),
        ],
        facts=[
            *((arm["name"], run) for arm in arms for run in arm["runs"]),
            *((way["name"], way["folder"]) for way in found.get("without_training", ()) if way["folder"]),
        ],
    )


def words_of(found: Found) -> Words:
    """Its words."""
    crossed = [(arm["name"], crossing(arm)) for arm in found["arms"][1:]]
    ks = sorted({row["k"] for arm in found["arms"] for row in arm["pass_at"]})
    return Words("comparison", found, protocol=found["protocol"], crossed=[one for one in crossed if one[1]], ks=ks)


def _panels(words: Words) -> Iterator[Panel]:
    arms = words.found["arms"]
    yield words.panel("accuracy", figures.arms_accuracy(arms))
    if any(arm["pass_at"] for arm in arms):
        yield words.panel("pass-at-k", figures.pass_at_k(arms))
    if any(arm.get("curve") for arm in arms):
        for unit, spent in (("flops", "computation"), ("seconds", "time")):
            yield replace(words.panel("cost", figures.accuracy_cost(arms, unit), spent=spent), name=f"cost-{unit}")


def _accuracy(words: Words) -> Table:
    rows: list[tuple[str, ...]] = []
    for arm in words.found["arms"]:
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
    return words.table("accuracy-table", rows, headline=True)


def _without_training(words: Words) -> Table:
    rows = [
        (
            way["name"],
            number(way["accuracy"], 3),
            signed(way["minus_base"]),
            signed(way["first_minus"]),
            f"{way['tokens']:,.0f}",
            f"{way['flops'] / 1e12:,.3f}",
        )
        for way in words.found.get("without_training", ())
    ]
    return words.table("untrained-table", rows, headline=True)


def _pass_at(words: Words) -> Table:
    drawn = [arm for arm in words.found["arms"] if arm["pass_at"]]
    ks = sorted({row["k"] for arm in drawn for row in arm["pass_at"]})
    rows: list[tuple[str, ...]] = []
    for arm in drawn:
        by_k = {row["k"]: row for row in arm["pass_at"]}
        crossed, difference = crossing(arm), arm["pass_at"][-1].get("difference")
        rows.append(
            (
                arm["name"],
                *(f"{by_k[k]['value']:.3f}" if k in by_k else "" for k in ks),
                signed(difference) if difference else "",
                str(crossed) if crossed else "none" if arm is not drawn[0] else "",
            )
        )
    return words.table("pass-table", rows, headline=True)


def _cost(words: Words) -> Table:
    rows = [
        (arm["name"], *cost_cells(arm["cost"]), f"{arm['validation_cost']['seconds']:,.0f}")
        for arm in words.found["arms"]
        if "cost" in arm
    ]
    return words.table("cost-table", rows, headline=True)


def _ratios(words: Words) -> Table:
    rows = [
        (
            f"{ratio['of']} / {ratio['to']}",
            f"{ratio['accuracy']:.3f}",
            *(_multiple(ratio.get(unit)) for unit in ("flops", "seconds", "usd")),
            f"{ratio['flops']['not_reached']:.0%}",
        )
        for ratio in words.found["ratios"]
    ]
    return words.table("ratio-table", rows, headline=True)


def _published(words: Words) -> Table:
    how = {True: "estimated", False: "measured or reported"}
    rows = [
        (row.model, row.method, f"{row.printed:.3f}", f"{row.usd:,.0f}", how[row.estimated])
        for row in published_costs()
    ]
    return words.table("published-table", rows)


def _multiple(ratio: Found | None) -> str:
    if ratio is None:
        return "not priced"
    value, low, high = ("never" if ratio[n] is None else f"{ratio[n]:.2f}" for n in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
