"""Tables that several pages have: accuracy before and after, cost by stage, grades of completions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reasonmaxxer.report.content import Table
from reasonmaxxer.report.numbers import number

SHOWN_KINDS = 6
"""Kinds of wrong programs that have a row."""
Summary = Mapping[str, Any]
"""What `summary.json` of a run holds."""


def metric_rows(summary: Summary) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Name, base and adapted estimate of every metric; `avg@n` only where `pass@1` does not say the same."""
    for kind in ("greedy", "sampled"):
        base, adapted = summary["base"][kind], summary["adapted"][kind]
        for name in base:
            if not (name.startswith("avg@") and "pass@1" in base):
                yield f"{kind} {name}", base[name], adapted[name]


def accuracy_table(summary: Summary, adapted: str = "adapted") -> Table:
    """Every metric of base and adapted model, and how many completions cannot be read.

    Args:
        summary: of the run.
        adapted: what the adapted model is called.
    """
    arms = summary["base"], summary["adapted"]
    unparsed = (arm["outcomes"].get("unparsed", 0) / sum(arm["outcomes"].values()) for arm in arms)
    rows = [(name, *(number(estimate, 3) for estimate in pair)) for name, *pair in metric_rows(summary)]
    rows.append(("cut at the length limit", *(f"{arm['truncated_share']:.0%}" for arm in arms)))
    wanted = "program" if any("wrong_by_kind" in arm for arm in arms) else "answer"
    rows.append((f"no {wanted} found", *(f"{share:.0%}" for share in unparsed)))
    title = f"Accuracy on {arms[0]['greedy']['pass@1']['n']} test problems"
    return Table("accuracy-table", title, ("metric", "base", adapted), rows, headline=True)


def cost_table(cost: Mapping[str, Any]) -> Table:
    """What each stage took.

    Args:
        cost: `cost` of the summary: `stages`, `total` and `price`.
    """
    rows = [
        (row["stage"], *cost_cells(row), f"{row['peak_memory_bytes'] / 2**30:.1f}")
        for row in [*cost["stages"], cost["total"]]
    ]
    priced = "USD (estimate)" if cost["price"]["estimated"] else "USD"
    columns = ("stage", "tokens", "TFLOPs", "seconds", priced, "peak GiB")
    return Table("cost-table", cost_title(cost["price"]), columns, rows, headline=True, total=True)


def cost_cells(cost: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Tokens, TFLOPs, seconds and US dollars."""
    return (
        f"{cost['tokens']:,.0f}",
        f"{cost['flops'] / 1e12:,.1f}",
        f"{cost['seconds']:,.0f}",
        "?" if cost["usd"] is None else f"{cost['usd']:.4f}",
    )


def cost_title(price: Mapping[str, Any]) -> str:
    """`Cost`, with what an hour of the machine costs."""
    if price["usd_per_hour"] is None:
        return "Cost (no price for this machine: set cost.usd_per_hour)"
    assumed = "assumed " if price["estimated"] else ""
    return f"Cost (at {assumed}{price['usd_per_hour']:.2f} USD an hour, {price['name']})"


def outcomes_table(name: str, first: str, parts: Mapping[str, Mapping[str, Any]], outcomes: Sequence[str]) -> Table:
    """Grades of several sets of completions.

    Args:
        name: of the table.
        first: header of the sets' names.
        parts: `outcomes` and `truncated_share` of each set, by its name.
        outcomes: grades that have a column.
    """
    rows = [
        (label, *(f"{part['outcomes'].get(o, 0):,}" for o in outcomes), f"{part['truncated_share']:.1%}")
        for label, part in parts.items()
    ]
    return Table(name, "Outcomes", (first, *outcomes, "cut at the limit"), rows)


def kinds_tables(parts: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Why programs are wrong, commonest first; no table where no completion says so.

    Args:
        parts: `outcomes` and perhaps `wrong_by_kind` of each set of completions, by its name.
    """
    parts = {label: part for label, part in parts.items() if part.get("wrong_by_kind")}
    total = sum((Counter(part["wrong_by_kind"]) for part in parts.values()), Counter[str]())
    if not total:
        return []
    shown = sorted(total, key=lambda kind: (-total[kind], kind))[:SHOWN_KINDS]
    counts = [[part["wrong_by_kind"].get(kind, 0) for kind in shown] for part in parts.values()]
    others = [part["outcomes"]["wrong"] - sum(of) for part, of in zip(parts.values(), counts, strict=True)]
    columns = [[*of, other] for of, other in zip(counts, others, strict=True)]
    rows = [
        (name, *(f"{number:,}" for number in row))
        for name, *row in zip([*shown, "other"], *columns, strict=True)
        if any(row)
    ]
    note = (
        "AssertionError: a test failed. Other names: the exception that the program, or a test of what it returned, "
        "raised. The column detail of the rollouts has the line."
    )
    return [Table("wrong-kinds", "Wrong programs by kind", ("kind", *parts), rows, note, headline=True)]
