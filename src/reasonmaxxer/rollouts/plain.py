"""Decoding by a model's own `generate()`, for families that a cache of fixed slots does not suit.

Requests whose prompts are equally long are decoded together, so that nothing is padded, until the last of
them has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.models.head import bare
from reasonmaxxer.rollouts.engine import Completion, OnTokens, Request
from reasonmaxxer.rollouts.sampling import draw, uniforms
from reasonmaxxer.rollouts.stop import Growing


def decode_plainly(
    model: Any,
    growing: Growing,
    requests: Sequence[Request],
    sampling: SamplingConfig,
    batch_size: int,
    on_tokens: OnTokens | None = None,
) -> list[Completion]:
    """Complete every request; what a rollout draws depends on its seed alone.

    Args:
        model: a causal LM, PEFT-wrapped or not.
        growing: the completions, one a request.
        requests: prompts and seeds.
        sampling: how tokens are drawn.
        batch_size: sequences decoded at once.
        on_tokens: told of progress.
    """
    inner = bare(model)
    own, inner.generation_config = inner.generation_config, GenerationConfig()  # no penalties
    try:
        for batch in _batches(requests, batch_size):
            ids_BT = torch.tensor([requests[i].prompt_ids for i in batch], device=model.device)
            drawing = _Drawing(batch, requests, sampling, growing, on_tokens)
            model.generate(
                input_ids=ids_BT,
                attention_mask=torch.ones_like(ids_BT),
                generation_config=GenerationConfig(
                    max_new_tokens=sampling.max_new_tokens, do_sample=False, pad_token_id=0
                ),
                logits_processor=[drawing.choose],
                stopping_criteria=[drawing.ended],
            )
    finally:
        inner.generation_config = own
    return growing.completions


def _batches(requests: Sequence[Request], batch_size: int) -> list[list[int]]:
    """Numbers of requests of one prompt length each, in order within it."""
    by_length: dict[int, list[int]] = {}
    for number, request in enumerate(requests):
        by_length.setdefault(len(request.prompt_ids), []).append(number)
    return [
        same[start : start + batch_size] for same in by_length.values() for start in range(0, len(same), batch_size)
    ]


class _Drawing:
    """Draws and keeps the next token of every row, and says which rows have ended."""

    def __init__(
        self,
        batch: Sequence[int],
        requests: Sequence[Request],
        sampling: SamplingConfig,
        growing: Growing,
        on_tokens: OnTokens | None,
    ) -> None:
        self.batch, self.sampling, self.growing, self.on_tokens = (batch, sampling, growing, on_tokens)
        seeds = (requests[number].seed for number in batch)
        numbers = [torch.from_numpy(uniforms(seed, sampling.max_new_tokens)) for seed in seeds]
        self.uniform_BL = torch.stack(numbers)
        self.step = 0
        self.ended_B = torch.zeros(len(batch), dtype=torch.bool)

    def choose(self, ids_BT: Tensor, logits_BV: Tensor) -> Tensor:
        """Scores [B, V] of which `generate()` takes the best: the token drawn."""
        step = min(self.step, self.sampling.max_new_tokens - 1)  # on a GPU it goes on for a while
        uniform_B = self.uniform_BL[:, step].to(logits_BV.device)
        drawn = draw(logits_BV, uniform_B, self.sampling.temperature, self.sampling.top_p)
        columns = (drawn.token_B, drawn.entropy_B, drawn.logprob_B)
        rows = torch.stack([column.double() for column in columns], 1).tolist()
        made = finished = 0
        for row, (token, entropy, logprob) in enumerate(rows):
            if not self.ended_B[row]:
                made += 1
                last = self.growing.keep(self.batch[row], int(token), entropy, logprob)
                self.ended_B[row] = last
                finished += last
        self.step += 1
        if self.on_tokens:
            self.on_tokens(made, finished)
        return torch.zeros_like(logits_BV).scatter_(1, drawn.token_B[:, None], 1.0)

    def ended(self, ids_BT: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Rows that have ended, bool [B]."""
        return self.ended_B.to(ids_BT.device)
