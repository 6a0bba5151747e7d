"""Operators that a GPU is asked for: those of a decoding step, counted without a GPU.

    python benchmarks/operators.py [--model NAME] [--json FILE]

The engine decodes at a GPU's pace on the CPU, its attention by the GPU's kernels, and what PyTorch dispatches is
counted: every operator that is no view of a tensor is one or two launches there. `reads` are operators that
wait for a value. The count of a step does not depend on the rows, which is what keeps a GPU from waiting for Python.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import torch
from arms import load_base
from figures import argument_parser
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models import attention
from reasonmaxxer.models.frozen import frozen
from reasonmaxxer.rollouts import sampling
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import PACES, TransformersEngine, _Decoding

READS = ("aten::_local_scalar_dense", "aten::nonzero")
ROWS = (8, 32, 128)


class Operators(TorchDispatchMode):
    """Counts the operators within its block, and the bytes that they allocate."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.names[func.name()] += 1
            given = {id(a) for a in args if isinstance(a, torch.Tensor)}
            made = out if isinstance(out, (tuple, list)) else (out,)
            tensors = (t for t in made if isinstance(t, torch.Tensor) and id(t) not in given)
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out

    def figures(self) -> dict[str, int]:
        """Operators, reads and bytes."""
        reads = sum(count for name, count in self.names.items() if name.startswith(READS))
        return {"operators": self.names.total(), "reads": reads, "bytes": self.bytes}


@torch.inference_mode()
def decoding_step(model: Any, rows: int) -> dict[str, int]:
    """A step of so many rows, after a prompt of 64 tokens."""
    engine = TransformersEngine(model, [], rows)
    engine.pace = PACES["cuda"]
    requests = [Request(tuple(range(3, 67)), seed) for seed in range(rows)]
    with (
        frozen(model),
        patch.object(attention, "_by_products", attention._fused),
        patch.object(sampling, "CHUNK_NUMBERS", 2**40),  # all rows at once, as on a GPU
    ):
        decoding = _Decoding(engine, requests, SamplingConfig(max_new_tokens=16))
        decoding._record(decoding._round(decoding._fill()))
        with Operators() as counted:
            decoding.replay(decoding._state(), 128)
    return counted.figures()


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    arguments = parser.parse_args()
    loaded = load_base(arguments.model)
    found = {rows: decoding_step(loaded.model, rows) for rows in ROWS}
    table = Table(title=f"A decoding step of {loaded.name}, {loaded.model.dtype}")
    for column in ("rows", "operators", "that wait for a value", "MB allocated"):
        table.add_column(column, justify="right")
    for rows, one in found.items():
        table.add_row(*map(str, (rows, one["operators"], one["reads"], one["bytes"] // 10**6)))
    Console().print(table)
    if arguments.json:
        write_json(found, arguments.json)


if __name__ == "__main__":
    main()
