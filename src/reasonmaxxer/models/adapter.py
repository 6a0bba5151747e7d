"""An adapter without what PEFT does around it, for as long as many tokens are decoded with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear


@contextmanager
def light_adapter(model: Any) -> Iterator[None]:
    """Within the block, a plain LoRA layer is two products in the type of its base.

    PEFT's own forward casts and copies several times more, which in a decoding step of few rows costs as
    much as the model itself. Adding the adapter to the weights would cost nothing, but rounds away what is
    below half a unit in their last place: of an adapter after a few steps at a small rate, nearly all.

    Args:
        model: a causal LM; without an adapter, or with it switched off, nothing is done.
    """
    with ExitStack() as stack:
        for layer in _active_layers(model):
            layer.forward = _forward(layer)  # hides the class's own until it is taken off again
            stack.callback(delattr, layer, "forward")
        yield


def _forward(layer: Any) -> Callable[[Tensor], Tensor]:
    """Forward of one LoRA layer; several adapters are one of the sum of their ranks.

    Both terms are summed by one product, before anything is rounded: added to a rounded output, a change
    smaller than half a unit in its last place is lost as it would be in the weights.
    """
    base, names = layer.get_base_layer(), [n for n in layer.active_adapters if n in layer.lora_A]
    dtype = base.weight.dtype
    with torch.no_grad():
        down_RD = torch.cat([layer.lora_A[name].weight for name in names]).to(dtype)
        up_ER = torch.cat([layer.scaling[n] * layer.lora_B[n].weight for n in names], dim=1)
        both_EDR = torch.cat([base.weight, up_ER.to(dtype)], dim=1)

    def forward(x: Tensor) -> Tensor:
        return linear(torch.cat([x, linear(x, down_RD)], dim=-1), both_EDR, base.bias)

    return forward


def _active_layers(model: Any) -> list[Any]:
    if not hasattr(model, "peft_config"):
        return []
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [layer for layer in layers if not layer.disable_adapters and _is_plain(layer)]


def _is_plain(layer: Any) -> bool:
    """Whether a layer is its base plus two products, which DoRA, a bias of LoRA's own, other layers than
    linear ones and weights packed into four bits are not."""
    base, names = layer.get_base_layer(), layer.active_adapters
    varied = any(name in layer.lora_variant or layer.lora_bias.get(name) for name in names)
    return isinstance(base, Linear) and base.weight.is_floating_point() and not varied
