"""The figures of `gpu.sh` and `gpu_rl.sh`: gathered into few files as they come, and put into a table.

    python benchmarks/gpu_figures.py keep OUT NAME PATH    # PATH: a folder of results, or a JSON file
    python benchmarks/gpu_figures.py table OUT             # Markdown, as in docs/devices.md

OUT/figures.jsonl holds a JSON object a line: what the benchmarks append (`--lines`) and what `keep` adds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LINES = "figures.jsonl"
RATE = "tokens_per_second"
Lines = Sequence[dict[str, Any]]
Row = tuple[str, str, str]
"""What, its goal, its figure."""


def keep(out: Path, name: str, path: Path) -> None:
    """Add what there is: a file's values, or a folder's summary, else its finished stages; and its page."""
    summary = path if path.is_file() else next(path.glob("summary.json"), None)
    found = _read(summary) if summary else {p.parent.name: _read(p) for p in path.glob("*/stage.json")}
    with (out / LINES).open("a", encoding="utf-8") as file:
        print(json.dumps({"name": name, "whole": bool(summary), "found": found}), file=file)
    for page in path.glob("*.html"):
        shutil.copyfile(page, out / f"{name}.html")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a file of lines; none where there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines()]


def medians(lines: Lines, benchmark: str, key: str, model: str = "") -> dict[str, float]:
    """Median of a recorded number by arm.

    Args:
        lines: of the file.
        benchmark: its name, or how that begins.
        key: of the number.
        model: its name; none takes all.
    """
    values: dict[str, list[float]] = {}
    for line in lines:
        of = line.get("benchmark", "").startswith(benchmark) and "check" not in line
        if of and key in line and model in ("", line["model"]):
            values.setdefault(line["arm"], []).append(line[key])
    return {arm: statistics.median(found) for arm, found in values.items()}


def table(lines: Lines) -> str:
    """Markdown table of what was measured, the goals beside it."""
    rows = [*_machine_rows(lines), *_benchmark_rows(lines), *_run_rows(lines)]
    head = "| | goal | measured |\n|---|---:|---:|"
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in rows)])


def _machine_rows(lines: Lines) -> Iterator[Row]:
    for found in _kept(lines, "machine"):
        rate, copy = found["matmul_rate"], found["copy_rate"]
        where = found["environment"]["hardware"]
        yield where.get("gpu", where["cpu"]), "", ""
        yield f"matrix product in {found['dtype']}", "", f"{rate / 1e12:,.2f} TFLOP/s"
        yield "copy", "", f"{copy / 1e12:,.2f} TB/s"


def _benchmark_rows(lines: Lines) -> Iterator[Row]:
    named = [(line["benchmark"], str(line["model"])) for line in lines if "arm" in line]
    for benchmark, model in dict.fromkeys(named):
        decoding = benchmark.startswith("rollouts")
        key, peer = (RATE, "generate") if decoding else ("step_seconds", "naive")
        one = medians(lines, benchmark, key, model)
        if "ours" not in one:
            continue
        title, goal = _name_and_goal(benchmark, Path(model).name)
        unit = "tokens/s" if decoding else "s a step"
        yield title, goal[0], f"{one['ours']:,.4g} {unit}"
        if peer in one:
            ratio = one["ours"] / one[peer] if decoding else one[peer] / one["ours"]
            yield f"- times the {peer} arm", goal[1], f"{ratio:,.3g}"
        peaks = medians(lines, benchmark, "peak_bytes", model)
        both = " against ".join(f"{peaks[arm] / 2**30:,.2f}" for arm in one)
        yield "- peak memory, ours and theirs", "", f"{both} GiB"
        for line in lines:
            if line.get("benchmark") == benchmark and "figures" in line:
                share = line["figures"]["matmul_share"]
                yield "- share of the matrix products' rate", goal[2], f"{share:.1%}"


def _name_and_goal(benchmark: str, model: str) -> tuple[str, tuple[str, str, str]]:
    kind, _, size = benchmark.partition("-")
    if kind == "training":
        return f"training, {model}, 8 sequences of up to {size} tokens", ("", "", "40 %")
    aimed = size.endswith("256") and "0.5b" in model
    goals = ("30,000 tokens/s", "8", "") if aimed else ("", "", "")
    return f"decoding, {model}, {size.replace('graphs-', 'CUDA graphs, ')} rows", goals


def _run_rows(lines: Lines) -> Iterator[Row]:
    for line in lines:
        found = line.get("found", {})
        if "adapted" not in found or not line["whole"]:
            continue
        before, after = (found[arm]["greedy"]["pass@1"] for arm in ("base", "adapted"))
        said = f"{before['value']:.3f} to {after['value']:.3f}"
        yield f"{line['name']}: greedy accuracy of {after['n']} test problems", "", said
        interval = found["difference"]["greedy"]
        low, high = interval["low"], interval["high"]
        yield "- difference, interval", "", f"{interval['value']:+.3f} ({low:+.3f} to {high:+.3f})"
        for cost in found["cost"]["stages"]:
            yield f"- {cost['stage']}", "", f"{cost['seconds']:,.0f} s, {cost['tokens']:,} tokens"


def _kept(lines: Lines, name: str) -> Iterator[dict[str, Any]]:
    return (line["found"] for line in lines if line.get("name") == name)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("keep", "table"))
    parser.add_argument("out", type=Path)
    parser.add_argument("kept", nargs="*", metavar="NAME PATH")
    arguments = parser.parse_args()
    if arguments.verb == "keep":
        name, path = arguments.kept
        keep(arguments.out, name, Path(path))
    else:
        print(table(read_lines(arguments.out / LINES)))


if __name__ == "__main__":
    main()
