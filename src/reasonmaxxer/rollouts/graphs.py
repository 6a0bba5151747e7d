"""Decoding steps as CUDA graphs: what Python launches once a shape is replayed as one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.rollouts.sampling import Draws

Step = Callable[[Tensor, int], Draws]


class CudaGraphs:
    """A step that is captured the first time a shape is asked for, and replayed from then on.

    Args:
        step: of a state [3, B] and a span, with operators that depend on shapes alone; what it reads
            besides stays where it is.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._pool: Any = None  # memory of all graphs, of which one is replayed at a time
        self._captured: dict[tuple[int, int], tuple[Any, Tensor, Draws]] = {}

    def __call__(self, state_3B: Tensor, span: int) -> Draws:
        """Replay the step of this shape; its draws stay as they are when it is replayed again."""
        shape = (state_3B.shape[1], span)
        if shape not in self._captured:
            self._captured[shape] = self._capture(state_3B, span)
        graph, input_3B, draws = self._captured[shape]
        input_3B.copy_(state_3B)
        graph.replay()
        return Draws(*(column.clone() for column in draws))

    def _capture(self, state_3B: Tensor, span: int) -> tuple[Any, Tensor, Draws]:
        input_3B = state_3B.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries allocate at their first call, which no capture may
            self._step(input_3B, span)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            draws = self._step(input_3B, span)
        self._pool = self._pool or graph.pool()
        return graph, input_3B, draws
