"""The engine that drives a transformers model's own forward.

A prompt is read once for all its rollouts, the beginning that all prompts share once for all of them. A
place that a finished rollout leaves is given to the next request, or to the last row where none waits.
Requests are taken strictly in order, so the same list gives the same bytes on the same machine.

Tokens are drawn on the device, several a row between two looks at them (`Pace`): a rollout that has ended
meanwhile is cut where it ended. On a CPU every token is looked at, so every row of every step makes a token
that is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models import OutputHead
from reasonmaxxer.models.cache import SlotCache
from reasonmaxxer.models.cpu.frozen import frozen
from reasonmaxxer.models.prefill import next_prompts, read_on, read_together
from reasonmaxxer.models.reading import reading
from reasonmaxxer.rollouts.drawing import Drawing
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request
from reasonmaxxer.rollouts.graphs import CudaGraphs
from reasonmaxxer.rollouts.plain import decode_plainly
from reasonmaxxer.rollouts.sampling import Draws


@dataclass(frozen=True)
class Pace:
    """How a device is kept busy while tokens are decoded.

    Attributes:
        draws: tokens a row between two looks at what was drawn.
        rows: rows of a step are rounded up to a multiple of it, so that shapes repeat.
        span: positions attended to, likewise.
    """

    draws: int
    rows: int
    span: int


CPU = Pace(draws=1, rows=1, span=1)
"""Pace of a device that computes while it is asked, and where every row costs."""
ACCELERATED = Pace(draws=8, rows=32, span=128)
"""Pace of a device that waits for whoever looks."""


class TransformersEngine(Engine):
    """Samples from a transformers causal language model, adapter and all, as it stands.

    Args:
        model: any causal LM, PEFT-wrapped or not; see `reasonmaxxer.models.reading`.
        eos_ids: tokens that end a completion.
        batch_size: sequences decoded at once.
        tokenizer: the model's, which only stop strings need.
        cuda_graphs: replay a decoding step on a GPU as one CUDA graph a shape.
    """

    name = "transformers"

    def __init__(
        self,
        model: Any,
        eos_ids: Sequence[int],
        batch_size: int = 64,
        tokenizer: Any = None,
        cuda_graphs: bool = False,
    ) -> None:
        self.model = model
        self.eos_ids = frozenset(eos_ids)
        self.batch_size = batch_size
        self.tokenizer = tokenizer
        self.cuda_graphs = cuda_graphs
        self.pace = CPU if model.device.type == "cpu" else ACCELERATED
        self.version = version("transformers")
        self.settings = {"dtype": str(model.dtype).removeprefix("torch."), "batch_size": batch_size}

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> list[Completion]:
        """Complete every request; consecutive requests of one prompt share its prefill."""
        if not requests:
            return []
        adapters = {request.adapter for request in requests} - {None}
        if adapters and not hasattr(self.model, "peft_config"):
            raise ValueError(f"requests name the adapter {adapters}, but the model carries none")
        drawing = Drawing(requests, sampling, self.eos_ids, self.tokenizer, on_tokens)
        was_training = self.model.training
        self.model.eval()
        try:
            alone = reading(self.model) == "alone"
            with frozen(self.model):
                if alone:
                    decode_plainly(self.model, drawing, self.batch_size)
                else:
                    _Decoding(self, drawing).run()
            return drawing.completions
        finally:
            self.model.train(was_training)


class _Decoding:
    """State of one `generate` call: the cache, and which request sits in which of its slots."""

    def __init__(self, engine: TransformersEngine, drawing: Drawing) -> None:
        self.model, self.pace = engine.model, engine.pace
        self.drawing, self.requests = drawing, drawing.requests
        requests, self.device = drawing.requests, self.model.device
        self.owners: list[int | None] = [None] * min(engine.batch_size, len(requests))
        rows = _up(len(self.owners), self.pace.rows)
        limit = drawing.sampling.max_new_tokens + self.pace.draws  # rows that have ended go on for a while
        capacity = _up(max(len(r.prompt_ids) for r in requests) + limit, self.pace.span)
        config = self.model.config.get_text_config()
        self.cache = SlotCache(config.num_hidden_layers, rows, capacity)
        self.uniform_SL = torch.zeros(rows, limit, dtype=torch.float64, device=self.device)
        self.head = OutputHead(self.model)
        step = partial(self._step, search=False)
        graphs = engine.cuda_graphs and self.device.type == "cuda"
        self.replay = CudaGraphs(step) if graphs else step
        self.prefix = _common_prefix([request.prompt_ids for request in requests])
        self.prompts: dict[tuple[int, ...], int] = {}  # those read last, and their rows
        self.prompt_logits_PV = torch.empty(0)
        self.waiting = 0

    def run(self) -> None:
        """Decode until every request is complete."""
        if self.prefix:
            read_together(self.model, self.cache, [self.requests[0].prompt_ids[: self.prefix]])
            self.cache.keep_prefix()
        fresh = self._fill()
        while self.owners:
            self.drawing.record(self._round(fresh), self.owners)
            fresh = self._fill()

    def _fill(self) -> dict[int, Tensor]:
        """Give free slots to waiting requests and close the other gaps; logits [V] of the slots filled."""
        fresh = {}
        for slot in [slot for slot, owner in enumerate(self.owners) if owner is None]:
            if self.waiting < len(self.requests):
                fresh[slot] = self._admit(slot)
        taken = [slot for slot, owner in enumerate(self.owners) if owner is not None]
        count = len(taken)
        for slot in range(count):
            if self.owners[slot] is None:
                last = taken.pop()
                self.cache.move(last, slot, self._length(last))
                self.uniform_SL[slot] = self.uniform_SL[last]
                self.owners[slot] = self.owners[last]
        del self.owners[count:]
        return fresh

    def _admit(self, slot: int) -> Tensor:
        """Give a slot to the next request; the logits [V] of its first token."""
        request = self.requests[self.waiting]
        if request.prompt_ids not in self.prompts:
            self._prefill()
        row = self.prompts[request.prompt_ids]
        self.cache.admit(slot, row, len(request.prompt_ids))
        uniform_L = self.drawing.uniforms(self.waiting)
        self.uniform_SL[slot, : len(uniform_L)] = uniform_L.to(self.device)
        self.owners[slot] = self.waiting
        self.waiting += 1
        return self.prompt_logits_PV[row]

    def _prefill(self) -> None:
        """Read the next few prompts of the queue together."""
        waiting = (request.prompt_ids for request in self.requests[self.waiting :])
        self.prompts = next_prompts(waiting, self.device, self.prefix)
        parts = [prompt[self.prefix :] for prompt in self.prompts]
        self.prompt_logits_PV = self.head(read_together(self.model, self.cache, parts))

    def _round(self, fresh: dict[int, Tensor]) -> list[tuple[Sequence[int], Draws]]:
        """Draw a few tokens of every row, first those that begin new rows; slots and their draws."""
        drawn: list[tuple[Sequence[int], Draws]] = []
        state_3B = self._state()
        longest = int(state_3B[1].max()) + 1
        state_3B = state_3B.to(self.device)
        if fresh:
            slots_F = torch.tensor(list(fresh), device=self.device)
            first = self.drawing.draw(torch.stack(list(fresh.values())), self.uniform_SL[slots_F, 0])
            state_3B[0, slots_F] = first.token_B
            drawn.append((list(fresh), first))
        for number in range(self.pace.draws - bool(fresh)):
            # the first step searches every nucleus: a row without a valid draw goes on there
            step = self.replay if number else self._step
            draws = step(state_3B, _up(longest + number, self.pace.span))
            drawn.append((range(len(self.owners)), draws))
            state_3B = torch.stack([draws.token_B, state_3B[1] + 1, state_3B[2] + 1])
        return drawn

    def _state(self) -> Tensor:
        """Last token, its position and number of tokens of every row, int64 [3, B]; rows that pad are 0."""
        completions = [self.drawing.completions[owner].ids for owner in self.owners if owner is not None]
        last = [ids[-1] if ids else 0 for ids in completions]  # those of new rows are drawn in this round
        lengths = [self._length(slot) for slot in range(len(completions))]
        state_3B = torch.tensor([last, lengths, [max(1, len(ids)) for ids in completions]])
        return pad(state_3B, (0, _up(len(completions), self.pace.rows) - len(completions)))

    def _step(self, state_3B: Tensor, span: int, search: bool = True) -> Draws:
        """One forward of every row, and the draw of its next token; nothing in it depends on values."""
        token_B, position_B, count_B = state_3B
        output = read_on(self.model, self.cache, token_B[:, None], position_B, span)
        uniform_B1 = self.uniform_SL[: len(count_B)].gather(1, count_B[:, None])
        return self.drawing.draw(output.logits[:, -1], uniform_B1[:, 0], search)

    def _length(self, slot: int) -> int:
        """Tokens of a slot that the cache holds: all but the one drawn last."""
        owner = self.owners[slot]
        if owner is None:
            return 0
        drawn = len(self.drawing.completions[owner].ids)
        return len(self.requests[owner].prompt_ids) + max(0, drawn - 1)


def _up(number: int, multiple: int) -> int:
    """A number rounded up to a multiple."""
    return -(-number // multiple) * multiple


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens with which all of several prompts begin, short of a whole prompt."""
    first, last = min(prompts), max(prompts)  # those between begin as both do
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return 0 if first == last else min(shared, *(len(prompt) - 1 for prompt in prompts))
