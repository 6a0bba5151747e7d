"""A model whose weights stay as they are, for good or while many tokens are read or decoded with it.

Nothing of it is trained then, so products with its weights may be prepared once: laid out as a CPU wants
them, and those of an adapter without what PEFT does around them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear
from torch.nn.modules.dropout import _DropoutNd

LIMIT_BYTES = 4 * 2**30
"""Main memory that weights laid out anew may take; those of a larger model stay as they are."""
ROWS = 16
"""Rows of a product that the layout is chosen for; fewer and many more are as fast with it."""

Product = Callable[[Tensor], Tensor]


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Within the block, no weight of the model may change and nothing be differentiated.

    A linear layer on a CPU keeps a copy of its weights in the layout of oneDNN, which a plain call makes
    anew every time: at few rows that costs as much as the product. In bfloat16 its bits are the same; in
    float32 its sums are taken in another order.

    A plain LoRA layer becomes two products in the type of its base. PEFT's own forward casts and copies
    several times more, which in a decoding step of few rows costs as much as the model itself. Adding the
    adapter to the weights would cost nothing, but rounds away what is below half a unit in their last
    place: of an adapter after a few steps at a small rate, nearly all.

    Args:
        model: a causal LM, with an adapter or without. A block within a block does nothing.
    """
    prepared = _prepared(model)
    with ExitStack() as stack:
        for layer, product in prepared.items():
            layer.forward = product  # hides the class's own until it is taken off again
            stack.callback(delattr, layer, "forward")
        yield


def drop_nothing(model: Any) -> None:
    """Take the dropout of a base away for good, in its modules and its config; an adapter keeps its own.

    The anchor compares with a frozen base: with neurons left out that would differ from itself.

    Args:
        model: a causal LM, with an adapter or without.
    """
    for name, module in model.named_modules():
        if "lora_" in name:
            continue
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        owners = [module, module.config] if hasattr(module, "config") else [module]
        for owner in owners:  # some layers ask the config each time
            rates = [k for k, rate in vars(owner).items() if "drop" in k and type(rate) is float]
            for key in rates:
                setattr(owner, key, 0.0)


@torch.no_grad()
def _prepared(model: Any) -> dict[Any, Product]:
    """What the layers do that can do better than their own forward."""
    adapted = _active_layers(model)
    inside = {module for layer in adapted for module in layer.modules()}
    plain = [m for m in model.modules() if type(m) is Linear and m not in inside]
    small = sum(p.numel() * p.element_size() for p in model.parameters()) <= LIMIT_BYTES
    products = {layer: _adapted_product(layer, small) for layer in adapted}
    if small:
        products |= {m: _product(m.weight, m.bias) for m in plain if _lays_out(m.weight)}
    # one that has a forward of its own is in a block already, or has a hook of accelerate's
    return {layer: own for layer, own in products.items() if "forward" not in vars(layer)}


def _product(weight_ED: Tensor, bias_E: Tensor | None) -> Product:
    """`linear` with weights laid out for it."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_ED.detach(), ROWS)
    bias_E = None if bias_E is None else bias_E.detach()

    def product(x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias_E, "none", [], "")
        return found

    return product


def _lays_out(weight: Tensor) -> bool:
    """Whether PyTorch can lay these weights out: it does so for its own compiler."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if weight.device.type != "cpu" or not there:
        return False
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def _adapted_product(layer: Any, small: bool) -> Product:
    """What one LoRA layer does; several adapters are one of the sum of their ranks.

    Both terms are summed by one product, before anything is rounded: added to a rounded output, a change
    smaller than half a unit in its last place is lost as it would be in the weights.
    """
    base, names = layer.get_base_layer(), [n for n in layer.active_adapters if n in layer.lora_A]
    dtype = base.weight.dtype
    down_RD = torch.cat([layer.lora_A[name].weight for name in names]).to(dtype)
    up_ER = torch.cat([layer.scaling[n] * layer.lora_B[n].weight for n in names], dim=1)
    both_EDR = torch.cat([base.weight, up_ER.to(dtype)], dim=1)
    if small and _lays_out(both_EDR):
        down, both = _product(down_RD, None), _product(both_EDR, base.bias)
        return lambda x: both(torch.cat([x, down(x)], dim=-1))
    return lambda x: linear(torch.cat([x, linear(x, down_RD)], dim=-1), both_EDR, base.bias)


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
