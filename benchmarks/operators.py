"""Operators that a GPU is asked for at a decoding step and a training row, counted without a GPU.

    python benchmarks/operators.py [--model NAME] [--json FILE]

The CPU does what a GPU would be asked to do: decoding at a GPU's pace, with its kernels' calls; a
training row (the base's forward, forward and backward with an adapter) read with a mask, since flash
attention runs on GPUs alone. Every operator that PyTorch dispatches and that is no view of a tensor is one
or two launches; those that wait for a value are counted apart. A GPU should not have to wait for Python.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from arms import load_base
from figures import argument_parser
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import AdapterConfig, SamplingConfig
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.method.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from reasonmaxxer.models import attention, sizes
from reasonmaxxer.models.accelerated import masked
from reasonmaxxer.models.cpu.frozen import frozen
from reasonmaxxer.rollouts.drawing import Drawing
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import ACCELERATED, TransformersEngine, _Decoding

READS = ("aten::_local_scalar_dense", "aten::nonzero")
COUNTS = (8, 32, 128)


class Operators(TorchDispatchMode):
    """Counts the operators within its block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.names[func.name()] += 1
        return func(*args, **(kwargs or {}))

    def figures(self) -> dict[str, int]:
        """All of them, and those that wait for a value."""
        reads = sum(count for name, count in self.names.items() if name.startswith(READS))
        return {"operators": self.names.total(), "reads": reads}


@torch.inference_mode()
def decoding_step(model: Any, rows: int) -> dict[str, int]:
    """A step of so many rows, after a prompt of 64 tokens."""
    engine = TransformersEngine(model, [], rows)
    engine.pace = ACCELERATED
    requests = [Request(tuple(range(3, 67)), seed) for seed in range(rows)]
    with frozen(model):
        drawing = Drawing(requests, SamplingConfig(max_new_tokens=16), [], None)
        decoding = _Decoding(engine, drawing)
        drawing.record(decoding._round(decoding._fill()), decoding.owners)
        with Operators() as counted:
            decoding.replay(decoding._state(), 128)
    return counted.figures()


def training_row(model: Any, sequences: int) -> dict[str, int]:
    """A row of so many sequences, eight a problem, of 8 tokens behind a prompt of 8."""
    rows = [
        {
            "prompt_ids": [3 + n // 8] * 8,
            "completion_ids": [11 + n, *range(20, 27)],
            "decision": [True, False] * 4,
            "advantage": (-1.0) ** n,
        }
        for n in range(sequences)
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = ReasonMaxxerConfig(output_dir=folder, use_cpu=True, report_to="none")
        trainer = ReasonMaxxerTrainer(model=model, args=config, train_dataset=rows)
        batch = trainer.data_collator(rows)
        [row] = batch["rows"]
        with Operators() as counted:
            trainer.compute_loss(trainer.model, row).backward()
    return counted.figures()


def as_on_a_gpu() -> ExitStack:
    """Within the block, a CPU is asked for what a GPU would be asked for."""
    stack = ExitStack()
    for module, name, value in (
        (attention, "_by_products", attention._fused),
        (attention, "branched", masked),
        (sizes, "CPU", sizes.ACCELERATOR),
    ):
        stack.enter_context(patch.object(module, name, value))
    return stack


def main() -> None:
    arguments = argument_parser(__doc__.splitlines()[0]).parse_args()
    loaded = load_base(arguments.model)
    with as_on_a_gpu():
        found = {"decoding step, rows": {n: decoding_step(loaded.model, n) for n in COUNTS}}
        model = add_adapter(loaded.model, AdapterConfig(), 0)
        found["training row, sequences"] = {n: training_row(model, n) for n in COUNTS}
    layers = loaded.model.config.get_text_config().num_hidden_layers
    table = Table(title=f"{loaded.name}, {layers} layers, {loaded.model.dtype}")
    for column in ("", "", "operators", "that wait for a value"):
        table.add_column(column, justify="right")
    for what, counts in found.items():
        for number, one in counts.items():
            table.add_row(what, *map(str, (number, one["operators"], one["reads"])))
    Console().print(table)
    if arguments.json:
        write_json(found, arguments.json)


if __name__ == "__main__":
    main()
