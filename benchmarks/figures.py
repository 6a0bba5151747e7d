"""Figures of a benchmark: printed beside the baseline of this kind of machine, and stored."""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arms import Arm
from machine import Machine
from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import read_json, write_json

BASELINES = Path(__file__).parent / "baselines"


def argument_parser(description: str) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default="smollm2", help="folder, hub id or embedded model")
    parser.add_argument("--quick", action="store_true", help="under a minute, rougher")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--save-baseline", action="store_true", help="store the figures for this kind of machine")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="append there what is measured, at once")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    return parser


def append_line(path: Path | None, **values: Any) -> None:
    """Append a JSON object to a file of such lines, should the rest be cut short; None does nothing."""
    if path:
        with path.open("a", encoding="utf-8") as file:
            print(json.dumps(values), file=file)


def finish(
    name: str,
    arguments: argparse.Namespace,
    machine: Machine,
    figures: dict[str, float],
    settings: dict[str, Any],
    details: dict[str, Any],
) -> None:
    """Print figures beside the baseline, and write what was asked for.

    Args:
        name: of the benchmark.
        arguments: as parsed by `argument_parser`.
        machine: where it ran.
        figures: the numbers to compare.
        settings: what ran; baselines of other settings are not compared.
        details: the rest of the JSON file.
    """
    path = BASELINES / f"{machine.slug}.json"
    key = f"{name}-quick" if arguments.quick else name
    Console().print(figure_table(name, figures, baseline(path, key, settings)))
    limits = {"matmul_rate": machine.matmul_rate, "copy_rate": machine.copy_rate}
    append_line(arguments.lines, benchmark=name, settings=settings, figures=figures)
    if arguments.json:
        rest = {"settings": settings, "machine": asdict(machine), "details": details}
        write_json(figures | rest, arguments.json)
    if arguments.save_baseline:
        save_baseline(path, key, settings, figures | limits, machine)


def baseline(path: Path, key: str, settings: dict[str, Any]) -> dict[str, float]:
    """Stored figures of the same benchmark and settings; none where there are none."""
    stored = read_json(path)["benchmarks"].get(key) if path.is_file() else None
    if stored is None or stored["settings"] != settings:
        return {}
    figures: dict[str, float] = stored["figures"]
    return figures


def save_baseline(path: Path, key: str, settings: dict[str, Any], figures: dict[str, float], machine: Machine) -> None:
    """Replace one benchmark's stored figures; the file's others stay."""
    stored = read_json(path) if path.is_file() else {"benchmarks": {}}
    entry = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "versions": machine.environment["versions"],
        "settings": settings,
        "figures": figures,
    }
    benchmarks = stored["benchmarks"] | {key: entry}
    write_json({"machine": machine.slug, "benchmarks": dict(sorted(benchmarks.items()))}, path)


def figure_table(name: str, figures: dict[str, float], before: dict[str, float]) -> Table:
    """Each figure, that of the baseline, and the change from it."""
    table = Table(title=f"{name}: figures and the baseline of this kind of machine")
    for column in ("figure", "value", "baseline", "change"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for key, value in figures.items():
        old = before.get(key)
        change = f"{value / old - 1:+.0%}" if old else "-"
        table.add_row(key, f"{value:,.4g}", "-" if old is None else f"{old:,.4g}", change)
    return table


def arm_table(title: str, arms: list[Arm], rate: str, unit: str) -> Table:
    """Seconds, rate and memory of each arm; the spread is over repetitions.

    CPU seconds far below cores times seconds say that something else had the machine.
    """
    table = Table(title=title)
    for column in ("arm", "seconds", "CPU s", unit, "spread", "peak MiB", "above model"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for one in arms:
        low, high = one.spread(rate)
        table.add_row(
            one.name,
            f"{one.median('seconds'):,.1f}",
            f"{one.median('cpu_seconds'):,.1f}",
            f"{one.median(rate):,.3g}",
            f"{low:,.3g} to {high:,.3g}",
            f"{one.peak_bytes / 2**20:,.0f}",
            f"{one.above_loaded_bytes / 2**20:,.0f}",
        )
    return table


def details_of(arms: list[Arm]) -> dict[str, Any]:
    """JSON values of every arm."""
    return {one.name: {"facts": one.facts, "repetitions": one.results} for one in arms}
