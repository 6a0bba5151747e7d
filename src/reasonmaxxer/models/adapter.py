"""An adapter folded into the weights it adapts, for as long as many tokens are decoded with it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def merged_adapter(model: Any) -> Iterator[None]:
    """Add a LoRA adapter's product to the weights within the block, and put them back bit by bit.

    Each adapted layer costs four products and several copies more than a plain one; in a decoding step of
    few rows that is as much as the model itself. The sum is formed in float32 and rounded to the weights'
    type, as it is by who serves a merged model.

    Args:
        model: a causal LM; without an adapter, or with it switched off, nothing is done.
    """
    with torch.no_grad(), ExitStack() as stack:
        for layer in _active_layers(model):
            weight = layer.get_base_layer().weight
            stack.callback(setattr, weight, "data", weight.data)
            delta = sum(layer.get_delta_weight(name).float() for name in layer.active_adapters)
            weight.data = (weight.data.float() + delta).to(weight.dtype)
        if hasattr(model, "peft_config"):
            stack.enter_context(model.disable_adapter())
        yield


def _active_layers(model: Any) -> list[Any]:
    if not hasattr(model, "peft_config"):
        return []
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [layer for layer in layers if not layer.disable_adapters]
