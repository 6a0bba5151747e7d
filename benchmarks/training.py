"""Seconds and memory of a training step: this package's trainer against the naive loop.

    python benchmarks/training.py [--quick] [--json FILE] [--save-baseline] [--cache FOLDER]

Both arms train the same adapter on the same sequences in the same order, each in a process of its own,
taking turns; what the trainer prepares before its first step is charged to its steps. The naive loop is
`naive.py`. First both take a few steps in float32, and their losses are compared: with a difference above
1e-4 the benchmark fails, after its figures. The sequences are rollouts of the model, sampled once into the
cache; with `--quick` they are random tokens, half as long; with `--longest N` random tokens, up to N a
completion.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import naive
from arms import Arm, Work, arm, load_base, load_plain, serve
from figures import append_line, argument_parser, arm_table, details_of, finish
from machine import Machine, measure_machine
from rich.console import Console
from teaching import real_examples, steps_of, synthetic_examples

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.method.data import Collator, training_rows
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import resolve_gate
from reasonmaxxer.method.selection import Example, example_table, examples_from_table
from reasonmaxxer.method.train import add_adapter, train_adapter, training_layout
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.recipe import load_recipe

TOLERANCE = 1e-4
"""Largest difference of a step's loss between the arms, in float32."""
RECIPE = load_recipe()
CONFIG = RECIPE.training.model_copy(update={"warmup_steps": 0, "checkpoints": 1})


def load_ours(arguments: argparse.Namespace) -> tuple[Work, dict[str, Any]]:
    """`train_adapter`; it tells the order it took the sequences in."""
    loaded = load_base(arguments.model, arguments.dtype)

    def work(examples: str, steps: int) -> dict[str, Any]:
        chosen = read_examples(examples, steps)
        model = add_adapter(loaded.model, CONFIG.adapter, 0)
        with tempfile.TemporaryDirectory() as folder, recorded_rows() as taken:
            fitting = FitArguments(Path(folder), 0)
            history = train_adapter(model, loaded.tokenizer, chosen, _gate(chosen), CONFIG, fitting)
        loaded.model = model.unload()
        index = {content(row): n for n, row in enumerate(training_rows(chosen, _gate(chosen)))}
        order = [index[content(row)] for row in taken]
        return {"losses": [row["loss"] for row in history], "order": order}

    return work, {}


def load_naive(arguments: argparse.Namespace) -> tuple[Work, dict[str, Any]]:
    """The naive loop, over the order it is given."""
    base, _ = load_plain(arguments.model, arguments.dtype)

    def work(examples: str, steps: int, order: list[int]) -> dict[str, Any]:
        chosen = read_examples(examples, steps)
        rows = training_rows(chosen, _gate(chosen))
        model = add_adapter(base, CONFIG.adapter, 0)
        batches = steps_of(order, CONFIG.batch_size)
        losses = naive.train(model, [[rows[n] for n in batch] for batch in batches], CONFIG)
        model.unload()
        return {"losses": losses}

    return work, {}


LOADERS = {"ours": load_ours, "naive": load_naive}


@contextmanager
def recorded_rows() -> Iterator[list[dict[str, Any]]]:
    """The rows that collators are given, in order."""
    taken: list[dict[str, Any]] = []
    collate = Collator.__call__

    def recording(self: Collator, rows: Sequence[dict[str, Any]]) -> Any:
        taken.extend(rows)
        return collate(self, rows)

    Collator.__call__ = recording  # type: ignore[method-assign]
    try:
        yield taken
    finally:
        Collator.__call__ = collate  # type: ignore[method-assign]


def content(row: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What makes two rows the same to the loss: a problem grades equal completions alike."""
    return tuple(row["prompt_ids"]), tuple(row["completion_ids"])


def read_examples(path: str, steps: int) -> list[Example]:
    """The sequences of so many steps."""
    return examples_from_table(read_table(Path(path)))[: steps * CONFIG.batch_size]


def _gate(examples: Sequence[Example]) -> Any:
    return resolve_gate(RECIPE.signal.gate, [e.entropy for e in examples], 0)


def take_turns(ours: Arm, peer: Arm, examples: Path, steps: int, times: int, record: Callable[..., None]) -> None:
    """Ours, then the naive loop over the order ours took, several times; results are recorded at once."""
    for _ in range(times):
        made = ours.repeat(examples=str(examples), steps=steps)
        peer.repeat(examples=str(examples), steps=steps, order=made["order"])
        for one in (ours, peer):
            result = one.results[-1]
            result["step_seconds"] = result["seconds"] / steps
            record(arm=one.name, **{k: v for k, v in result.items() if k != "order"})


def loss_difference(ours: Arm, peer: Arm) -> float:
    """Largest difference of any step's loss."""
    pairs = zip(ours.results[-1]["losses"], peer.results[-1]["losses"], strict=True)
    return max(abs(a - b) for a, b in pairs)


def check_losses(examples: Path, steps: int, record: Callable[..., None]) -> float:
    """The arms' largest difference of a step's loss in float32."""
    with ExitStack() as stack:
        ours, peer = (stack.enter_context(arm(name, __file__, "--dtype=float32")) for name in LOADERS)
        take_turns(ours, peer, examples, steps, 1, record)
    difference = loss_difference(ours, peer)
    for one in (ours, peer):
        losses = " ".join(f"{loss:+.6f}" for loss in one.results[-1]["losses"])
        print(f"float32 losses, {one.name:>5}: {losses}", flush=True)
    return difference


def matmul_share(loaded: LoadedModel, machine: Machine, examples: Sequence[Example], seconds: float) -> float:
    """FLOPs that one pass needs over those the machine could have done in the time."""
    gate = _gate(examples)
    decisions = sum(int(gate.decisions(e.entropy, e.key).sum()) for e in examples)
    layout = training_layout(examples, CONFIG, 0, loaded.model.device.type)
    anchored = CONFIG.anchor_weight > 0
    flops = ModelFlops(loaded.model)
    needed = flops.training(layout, decisions, anchored=anchored, base=anchored)
    return needed / seconds / machine.matmul_rate


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="auto", help="of the timed arms")
    parser.add_argument("--steps", type=int, help="optimiser steps; default 8, with --quick 2")
    parser.add_argument("--repeats", type=int, help="turns of each arm; default 3, with --quick 1")
    parser.add_argument("--longest", type=int, metavar="N", help="random completions of up to N")
    parser.add_argument("--cache", type=Path, default=Path("runs/benchmark-rollouts"))
    arguments = parser.parse_args()
    if arguments.arm:
        serve(lambda: LOADERS[arguments.arm](arguments))
        return
    quick = arguments.quick
    steps = arguments.steps or (2 if quick else 8)
    loaded = load_base(arguments.model, arguments.dtype)
    machine = measure_machine(loaded.model.dtype)
    name = f"training-{arguments.longest}" if arguments.longest else "training"
    record = partial(append_line, arguments.lines, benchmark=name, model=arguments.model)
    count = steps * CONFIG.batch_size
    vocabulary = loaded.model.config.get_text_config().vocab_size
    if quick or arguments.longest:
        examples = synthetic_examples(vocabulary, count, longest=arguments.longest or 50)
    else:
        examples = real_examples(loaded, RECIPE, count, arguments.cache)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        path, checked = folder / "examples.parquet", folder / "checked.parquet"
        write_table(example_table(examples), path)
        short = synthetic_examples(vocabulary, count) if arguments.longest else examples
        write_table(example_table(short), checked)
        difference = check_losses(checked, min(steps, 3), partial(record, check="float32"))
        ours, peer = (stack.enter_context(arm(name, __file__)) for name in LOADERS)
        take_turns(ours, peer, path, 1, 1, lambda **result: None)  # warm up
        ours.results.clear()
        peer.results.clear()
        take_turns(ours, peer, path, steps, arguments.repeats or (1 if quick else 3), record)
    title = f"{steps} steps of {CONFIG.batch_size} sequences"
    Console().print(arm_table(title, [ours, peer], "step_seconds", "s a step"))
    finish(
        name,
        arguments,
        machine,
        figures_of(ours, peer, difference)
        | {"matmul_share": matmul_share(loaded, machine, examples, ours.median("seconds"))},
        {"model": loaded.name, "steps": steps, "dtype": machine.dtype},
        details_of([ours, peer]),
    )
    if difference > TOLERANCE:
        raise SystemExit(f"The losses differ by {difference:.2g}: the arms do not do the same work.")


def figures_of(ours: Arm, peer: Arm, difference: float) -> dict[str, float]:
    """Ratios of the naive loop and this package's trainer."""
    return {
        "ratio": peer.median("step_seconds") / ours.median("step_seconds"),
        "peak_memory_ratio": ours.peak_bytes / peer.peak_bytes,
        "above_model_memory_ratio": ours.above_loaded_bytes / peer.above_loaded_bytes,
        "step_seconds": ours.median("step_seconds"),
        "max_loss_difference": difference,
    }


if __name__ == "__main__":
    main()
