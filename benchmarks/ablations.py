"""What matters: parts of the method taken away or varied one at a time, three seeds each.

    python benchmarks/ablations.py --out DIR [--json FILE] [--figure FILE]

Each row is a variant of the default recipe (`benchmarks/variants.py` says how it is measured). Prints
a table in Markdown and draws the differences to the base with their intervals. Hours on two cores;
what is finished is kept in DIR, and the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from variants import compare

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.measure.metrics import bootstrap

GATE = "signal.gate.kind={kind},signal.gate.share={share}"
SHARES = (0.02, 0.05, 0.2)
ALL = "signal.gate.kind=all"

ABLATIONS: dict[str, dict[str, str]] = {
    "default": {"gate at 0.8 nats": ""},  # about half the positions
    "most entropic share": {
        **{f"{share:.0%}": GATE.format(kind="share", share=share) for share in SHARES},
        "100%": ALL,
    },
    "random share": {"50%": GATE.format(kind="random", share=0.5)},
    "loss": {
        "correct rollouts only": "signal.negative_weight=0",
        "no anchor": "training.anchor_weight=0",
        "no negative floor": "training.negative_floor=0",
        "full sequence, no anchor": f"{ALL},training.anchor_weight=0",
    },
    "learning rate": {rate: f"training.learning_rate={rate}" for rate in ("1e-4",)},
    "negative floor": {"1e-4": "training.negative_floor=1e-4"},
    "problems kept": {str(n): f"signal.problems={n}" for n in (8, 16, 100)},
}


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """The table of the docs."""
    lines = [
        "| | | accuracy by seed | mean | minus base | minus default | decision points | cut | KL |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for group, members in ABLATIONS.items():
        for label, variant in members.items():
            row = rows[variant]
            by_seed = ", ".join(f"{a:.2f}" for a in row["accuracies"])
            kl = "-" if row["kl"] is None else f"{row['kl']:.3f}"
            lines.append(
                f"| {group} | {label} | {by_seed} | {row['accuracy']:.3f} "
                f"| {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] "
                f"| {against_default(row, rows['']) if variant else ''} "
                f"| {row['share']:.0%} | {row['cut']:.0%} | {kl} |"
            )
    return "\n".join(lines)


def against_default(row: dict[str, Any], default: dict[str, Any]) -> str:
    """Paired over problems, each with its mean over the seeds."""
    change = np.array(row["by_problem"]) - np.array(default["by_problem"])
    found = bootstrap(change, 10_000, 0.95, 0)
    return f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Differences to the base, one line a variant, with their intervals and each seed."""
    from matplotlib.figure import Figure

    lines = [(g, name, rows[v]) for g, members in ABLATIONS.items() for name, v in members.items()]
    figure = Figure(figsize=(7, 0.32 * len(lines) + 1), layout="constrained")
    axes = figure.subplots()
    default = rows[""]["difference"]
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.axvline(default, color="0.5", linewidth=0.8, linestyle=":")
    for y, (group, _, row) in enumerate(lines):
        color = f"C{list(ABLATIONS).index(group)}"
        axes.plot([row["low"], row["high"]], [y, y], color=color, linewidth=2)
        axes.plot(row["difference"], y, "o", color=color, markersize=6)
        base = row["accuracy"] - row["difference"]
        seeds = [accuracy - base for accuracy in row["accuracies"]]
        axes.plot(seeds, [y] * len(seeds), "|", color="0.2", markersize=7)
    axes.set_yticks(range(len(lines)), [f"{group}: {name}" for group, name, _ in lines])
    axes.invert_yaxis()
    axes.set_xlabel("minus base (bar: 95 % over problems; ticks: seeds)")
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--problems", type=int, default=120, help="validation problems")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args(arguments)
    variants = [variant for members in ABLATIONS.values() for variant in members.values()]
    found = compare(variants, options.seeds, options.out, options.problems, Console(stderr=True))
    rows = {row["variant"]: row for row in found}
    print(markdown(rows))
    if options.json:
        write_json(found, options.json)
    if options.figure:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
