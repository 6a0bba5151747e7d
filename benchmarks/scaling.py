"""Time and memory of sampling, signal and training as rollouts grow 1x, 4x, 16x.

    python benchmarks/scaling.py [--quick] [--json FILE] [--save-baseline]

Each size runs in a process of its own, through the functions the stages of a run are made of, with
everything but the number of problems held fixed: batch, shard, step, and a completion length short
enough for minutes. Such short completions answer nothing, so every other rollout is declared right
after it has been graded: what is learnt is nonsense, its time and memory are not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from arms import Arm, Work, arm, load_base, serve
from figures import argument_parser, details_of, finish
from machine import measure_machine
from rich.console import Console
from rich.table import Table

from reasonmaxxer.config import Recipe
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import Gate, resolve_gate
from reasonmaxxer.method.pool import group_rollouts
from reasonmaxxer.method.selection import Example, examples_of, select_groups
from reasonmaxxer.method.train import add_adapter, train_adapter
from reasonmaxxer.models import LoadedModel, eos_ids
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier

BATCH = 16
"""Sequences decoded at once and, doubled, rollouts a shard: full already at the smallest size."""
FACTORS = (1, 4, 16)
STAGES = ("sampling", "signal", "training")


def load(arguments: argparse.Namespace) -> tuple[Work, dict[str, Any]]:
    """The stages, over so many problems."""
    loaded = load_base(arguments.model)
    tokens = 8 if arguments.quick else 24
    recipe = load_recipe(overrides=(f"rollouts.max_new_tokens={tokens}", "training.checkpoints=1"))

    def work(problems: int) -> dict[str, Any]:
        chosen = word_problems("train", problems, 0)
        with tempfile.TemporaryDirectory() as folder:
            return run_stages(loaded, recipe, chosen, Path(folder))

    return work, {}


def run_stages(loaded: LoadedModel, recipe: Recipe, problems: Sequence[Problem], folder: Path) -> dict[str, Any]:
    """Seconds of each stage and the sequences trained on."""
    marks = [time.perf_counter()]
    rollouts = _sample(loaded, recipe, problems, folder)
    marks.append(time.perf_counter())
    examples = examples_of(select_groups(group_rollouts(rollouts), len(problems)), recipe.signal, recipe.seed)
    gate = resolve_gate(recipe.signal.gate, [e.entropy for e in examples], 0)
    marks.append(time.perf_counter())
    _train(loaded, recipe, examples, gate, folder / "training")
    marks.append(time.perf_counter())
    stages = {stage: end - start for stage, (start, end) in zip(STAGES, pairwise(marks), strict=True)}
    return {"rollouts": len(rollouts), "sequences": len(examples), "stages": stages}


def _train(loaded: LoadedModel, recipe: Recipe, examples: list[Example], gate: Gate, folder: Path) -> None:
    model = add_adapter(loaded.model, recipe.training.adapter, 0)
    train_adapter(model, loaded.tokenizer, examples, gate, recipe.training, FitArguments(folder, 0))
    loaded.model = model.unload()


def _sample(loaded: LoadedModel, recipe: Recipe, problems: Sequence[Problem], folder: Path) -> list[Rollout]:
    """Sampled and graded shard by shard; then every other one is declared right."""
    style = recipe.problems.prompt_style
    engine = TransformersEngine(loaded.model, eos_ids(loaded.model, loaded.tokenizer), BATCH)
    with Verifier(recipe.verify, style) as verifier:
        sampler = Sampler(
            engine,
            verifier,
            loaded.tokenizer,
            prompt_style=style,
            sampling=recipe.rollouts,
            per_problem=recipe.rollouts.rollouts_per_problem,
            seed=0,
        )
        rollouts = collect(problems, folder / "rollouts", 2 * BATCH, sampler)
    return [replace(r, outcome=("wrong", "correct")[r.rollout % 2]) for r in rollouts]


def size_table(sizes: Sequence[Arm]) -> Table:
    """A row a size: seconds of each stage, and memory."""
    table = Table(title="As rollouts grow")
    for column in ("rollouts", *STAGES, "seconds", "peak MiB", "above the loaded model"):
        table.add_column(column, justify="right")
    for one in sizes:
        (result,) = one.results
        table.add_row(
            f"{result['rollouts']:,}",
            *(f"{result['stages'][stage]:,.1f}" for stage in STAGES),
            f"{result['seconds']:,.1f}",
            f"{one.peak_bytes / 2**20:,.0f}",
            f"{one.above_loaded_bytes / 2**20:,.0f}",
        )
    return table


def figures_of(sizes: Sequence[Arm]) -> dict[str, float]:
    """Growth of time and memory from the first size to each other, and the first's own."""
    first, *larger = sizes
    figures = {"seconds_1x": first.median("seconds"), "above_model_bytes_1x": first.above_loaded_bytes}
    for factor, one in zip(FACTORS[1:], larger, strict=False):
        figures[f"time_growth_{factor}x"] = one.median("seconds") / first.median("seconds")
        figures[f"peak_memory_growth_{factor}x"] = one.peak_bytes / first.peak_bytes
        figures[f"above_model_memory_growth_{factor}x"] = one.above_loaded_bytes / first.above_loaded_bytes
    return figures


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    arguments = parser.parse_args()
    if arguments.arm:
        serve(lambda: load(arguments))
        return
    machine = measure_machine()
    factors = FACTORS[:2] if arguments.quick else FACTORS
    smallest = 2 * BATCH // load_recipe().rollouts.rollouts_per_problem
    sizes = []
    for factor in factors:
        with arm(f"{factor}x", __file__) as one:
            one.ask(problems=1)  # warm up
            one.repeat(problems=smallest * factor)
            sizes.append(one)
    Console().print(size_table(sizes))
    settings = {"model": arguments.model, "factors": list(factors), "batch": BATCH}
    finish("scaling", arguments, machine, figures_of(sizes), settings, details_of(sizes))


if __name__ == "__main__":
    main()
