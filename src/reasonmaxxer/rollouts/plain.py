"""Decoding by a model's own `generate()`, for families that a cache of fixed slots does not suit.

Requests whose prompts are equally long are decoded together, so that nothing is padded, until the last of
them has ended.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from reasonmaxxer.models.head import unwrapped
from reasonmaxxer.rollouts.drawing import Drawing


def decode_plainly(model: Any, drawing: Drawing, batch_size: int) -> None:
    """Complete every request of a drawing.

    Args:
        model: a causal LM, PEFT-wrapped or not.
        drawing: draws and keeps the tokens.
        batch_size: sequences decoded at once.
    """
    inner = unwrapped(model)
    config, inner.generation_config = inner.generation_config, GenerationConfig()  # no penalties
    lengths = [len(request.prompt_ids) for request in drawing.requests]
    try:
        for _, same in itertools.groupby(sorted(range(len(lengths)), key=lengths.__getitem__), lengths.__getitem__):
            numbers = list(same)
            for start in range(0, len(numbers), batch_size):
                _decode_batch(model, drawing, numbers[start : start + batch_size])
    finally:
        inner.generation_config = config


def _decode_batch(model: Any, drawing: Drawing, numbers: Sequence[int]) -> None:
    """Complete the requests of these numbers, whose prompts are equally long."""
    ids_BT = torch.tensor([drawing.requests[number].prompt_ids for number in numbers], device=model.device)
    uniform_BL = torch.stack([drawing.uniforms(number) for number in numbers]).to(model.device)
    owners: list[int | None] = list(numbers)
    steps = itertools.count()

    def choose(_: Tensor, logits_BV: Tensor) -> Tensor:
        """Scores [B, V] of which `generate()` takes the best: the token drawn."""
        step = min(next(steps), uniform_BL.shape[1] - 1)  # on a GPU it goes on for a while
        draws = drawing.draw(logits_BV, uniform_BL[:, step])
        drawing.record([(range(len(owners)), draws)], owners)
        return torch.zeros_like(logits_BV).scatter_(1, draws.token_B[:, None], 1.0)

    def ended(ids_BT: Tensor, _: Any, **kwargs: Any) -> Tensor:
        return torch.tensor([owner is None for owner in owners], device=ids_BT.device)

    limit = drawing.sampling.max_new_tokens
    model.generate(
        input_ids=ids_BT,
        attention_mask=torch.ones_like(ids_BT),
        generation_config=GenerationConfig(max_new_tokens=limit, do_sample=False, pad_token_id=0),
        logits_processor=[choose],
        stopping_criteria=[ended],
    )
