"""The engine that drives a transformers model's own forward.

A prompt is read once for all its rollouts, the beginning that all prompts share once for all of them. A
finished row is filled by the last active one and its place by a waiting request, so every row of every
step makes a token that is kept. Requests are taken strictly in order, so the same list gives the same bytes
on the same machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models import OutputHead
from reasonmaxxer.models.attention import use_attention
from reasonmaxxer.models.frozen import frozen
from reasonmaxxer.models.masks import attention_masks
from reasonmaxxer.rollouts.cache import SlotCache
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request
from reasonmaxxer.rollouts.prefill import next_prompts, read_together
from reasonmaxxer.rollouts.sampling import draw, uniforms


class TransformersEngine(Engine):
    """Samples from a transformers causal language model, adapter and all, as it stands.

    Args:
        model: any causal LM with full or sliding-window attention, PEFT-wrapped or not.
        eos_ids: tokens that end a completion.
        batch_size: sequences decoded at once.
    """

    name = "transformers"

    def __init__(self, model: Any, eos_ids: Sequence[int], batch_size: int = 64) -> None:
        self.model = model
        self.eos_ids = frozenset(eos_ids)
        self.batch_size = batch_size
        self.version = version("transformers")

    @property
    def settings(self) -> dict[str, Any]:
        """What completions depend on beside the requests."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return {"dtype": dtype, "batch_size": self.batch_size}

    @torch.inference_mode()
    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingConfig,
        on_tokens: OnTokens | None = None,
    ) -> list[Completion]:
        """Complete every request; consecutive requests of one prompt share its prefill."""
        if not requests:
            return []
        named = {request.adapter for request in requests} - {None}
        if named and not hasattr(self.model, "peft_config"):
            raise ValueError(f"requests name the adapter {named}, but the model carries none")
        was_training = self.model.training
        self.model.eval()
        try:
            with frozen(self.model):
                return _Decoding(self, requests, sampling).run(on_tokens)
        finally:
            self.model.train(was_training)


class _Decoding:
    """State of one `generate` call: which request sits in which slot, and what it has so far."""

    def __init__(
        self, engine: TransformersEngine, requests: Sequence[Request], sampling: SamplingConfig
    ) -> None:
        self.model, self.eos_ids = engine.model, engine.eos_ids
        self.requests, self.sampling = requests, sampling
        self.config = self.model.config.get_text_config()
        self.device = self.model.device
        slots = min(engine.batch_size, len(requests))
        capacity = max(len(r.prompt_ids) for r in requests) + sampling.max_new_tokens
        self.slots = slots
        self.cache = SlotCache(self.config.num_hidden_layers, slots, capacity)
        use_attention(self.model)
        self.head = OutputHead(self.model)
        self.prefix = _common_prefix([request.prompt_ids for request in requests])
        self.prompts: dict[tuple[int, ...], int] = {}  # those read last, and their rows
        self.prompt_logits_PV = torch.empty(0)
        self.waiting = 0
        self.active: list[int] = []  # request of each slot
        self.lengths: list[int] = []  # positions of each slot held in the cache
        count = len(requests)
        self.completions = [Completion([], [], [], "length") for _ in range(count)]
        self.uniforms: dict[int, np.ndarray] = {}

    def run(self, on_tokens: OnTokens | None) -> list[Completion]:
        done: list[Completion | None] = [None] * len(self.requests)
        if self.prefix:
            read_together(self.model, self.cache, [self.requests[0].prompt_ids[: self.prefix]])
            self.cache.keep_prefix()
        while self.waiting < len(self.requests) or self.active:
            admitted = self._admit()
            made = self._emit(*admitted) if admitted else self._emit(self._step(), 0)
            finished = self._retire(done)
            if on_tokens:
                on_tokens(made, finished)
        return [completion for completion in done if completion is not None]

    def _admit(self) -> tuple[Tensor, int] | None:
        """Fill free slots from the queue; the logits of their first tokens, and the first slot."""
        first = len(self.active)
        logits = []
        while self.waiting < len(self.requests) and len(self.active) < self.slots:
            request = self.requests[self.waiting]
            if request.prompt_ids not in self.prompts:
                self._prefill()
            row = self.prompts[request.prompt_ids]
            self.cache.admit(len(self.active), row, len(request.prompt_ids))
            self.uniforms[self.waiting] = uniforms(request.seed, self.sampling.max_new_tokens)
            self.active.append(self.waiting)
            self.lengths.append(len(request.prompt_ids))
            logits.append(self.prompt_logits_PV[row])
            self.waiting += 1
        return (torch.stack(logits), first) if logits else None

    def _prefill(self) -> None:
        """Read the next few prompts of the queue together."""
        waiting = (request.prompt_ids for request in self.requests[self.waiting :])
        self.prompts = next_prompts(waiting, self.prefix)
        parts = [prompt[self.prefix :] for prompt in self.prompts]
        self.prompt_logits_PV = self.head(read_together(self.model, self.cache, parts))

    def _step(self) -> Tensor:
        """One forward of every active slot; logits [B, V] of its next token."""
        positions_B = torch.tensor(self.lengths, device=self.device)
        span = max(self.lengths) + 1
        self.cache.decode(positions_B, span)
        last_B = [self.completions[request].ids[-1] for request in self.active]
        output = self.model(
            input_ids=torch.tensor(last_B, device=self.device)[:, None],
            position_ids=positions_B[:, None],
            attention_mask=self._mask(positions_B, span),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.lengths = [length + 1 for length in self.lengths]
        logits: Tensor = output.logits[:, -1]
        return logits

    def _mask(self, positions_B: Tensor, span: int) -> Tensor | dict[str, Tensor]:
        """Mask of each row's own past."""
        distance_B1S = (positions_B[:, None] - torch.arange(span, device=self.device))[:, None]
        return attention_masks(self.model, distance_B1S >= 0, distance_B1S)

    def _emit(self, logits_BV: Tensor, first: int) -> int:
        """Sample the next token of slots `first`, `first + 1`, ... and record it."""
        requests = self.active[first : first + len(logits_BV)]
        steps = [len(self.completions[request].ids) for request in requests]
        numbers = [self.uniforms[r][s] for r, s in zip(requests, steps, strict=True)]
        uniform_B = torch.tensor(np.array(numbers), dtype=torch.float64).to(self.device)
        drawn = draw(logits_BV, uniform_B, self.sampling.temperature, self.sampling.top_p)
        statistics = (drawn.token_B.tolist(), drawn.entropy_B.tolist(), drawn.logprob_B.tolist())
        columns = zip(requests, *statistics, strict=True)
        for request, token, entropy, logprob in columns:
            completion = self.completions[request]
            assert completion.entropy is not None and completion.logprob is not None
            completion.ids.append(token)
            completion.entropy.append(entropy)
            completion.logprob.append(logprob)
        return len(requests)

    def _retire(self, done: list[Completion | None]) -> int:
        """Take out finished rows, each replaced by the last active one."""
        finished = 0
        for slot in reversed(range(len(self.active))):
            request = self.active[slot]
            made = self.completions[request]
            stopped = made.ids[-1] in self.eos_ids
            if not stopped and len(made.ids) < self.sampling.max_new_tokens:
                continue
            reason = "stop" if stopped else "length"
            done[request] = Completion(made.ids, made.entropy, made.logprob, reason)  # type: ignore[arg-type]
            del self.uniforms[request]
            last = len(self.active) - 1
            if slot != last:
                self.cache.move(last, slot, self.lengths[last])
                self.active[slot], self.lengths[slot] = self.active[last], self.lengths[last]
            self.active.pop()
            self.lengths.pop()
            finished += 1
        return finished


def _common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Tokens with which all of several prompts begin, short of a whole prompt."""
    first, last = min(prompts), max(prompts)  # those between begin as both do
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return 0 if first == last else min(shared, *(len(prompt) - 1 for prompt in prompts))
