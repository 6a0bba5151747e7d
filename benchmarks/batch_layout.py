"""How often does a token flip when the same rollouts are decoded in another batch layout?

    python benchmarks/batch_layout.py [--batch-sizes 120 32 8] [--dtype float32] [--json FILE]

The draws are the same in every layout; only the rounding of kernels differs. A flip is the first token
at which a completion differs from that of the first batch size; what follows it is another text and is
not compared. Prints a table of flips over tokens compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from reasonmaxxer.models import eos_ids, load_model
from reasonmaxxer.problems.prompts import render_prompt
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.engine import Completion, Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine


def first_difference(one: list[int], other: list[int]) -> int | None:
    """Index of the first token that differs; none if the completions are equal."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return None if len(one) == len(other) else min(len(one), len(other))


def compare(reference: list[Completion], other: list[Completion]) -> dict[str, float]:
    """Flips, tokens compared (up to and with the flip), and completions that differ."""
    flips = tokens = 0
    for one, two in zip(reference, other, strict=True):
        at = first_difference(one.ids, two.ids)
        flips += at is not None
        tokens += len(one.ids) if at is None else at + 1
    return {"flips": flips, "tokens": tokens, "rate": flips / tokens, "completions": len(reference)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=15)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[120, 32, 8])
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    recipe = load_recipe("default", (f"model.dtype={arguments.dtype}",))
    loaded = load_model(recipe.model)
    requests = [
        Request(tuple(render_prompt("chat_template", problem.text, loaded.tokenizer)), 1000 * n + k)
        for n, problem in enumerate(word_problems("train", arguments.problems, 0))
        for k in range(arguments.rollouts)
    ]
    ends = eos_ids(loaded.model, loaded.tokenizer)
    made = {
        size: TransformersEngine(loaded.model, ends, size).generate(requests, recipe.rollouts)
        for size in track(arguments.batch_sizes, "Layouts")
    }
    first, *others = arguments.batch_sizes
    results = {size: compare(made[first], made[size]) for size in others}

    dtype = str(loaded.model.dtype).removeprefix("torch.")
    table = Table(title=f"Token flips against batch size {first}, {dtype}")
    for column in ("batch size", "flips", "tokens compared", "flips per 1,000 tokens", "completions that differ"):
        table.add_column(column, justify="right")
    for size, r in results.items():
        share = f"{r['flips']} of {r['completions']}"
        table.add_row(str(size), str(r["flips"]), f"{r['tokens']:,}", f"{1000 * r['rate']:.2f}", share)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"dtype": dtype, "against": first, "layouts": results}, indent=2))


if __name__ == "__main__":
    main()
