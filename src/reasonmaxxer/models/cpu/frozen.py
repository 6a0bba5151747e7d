"""A model whose weights stay as they are, for good or while many tokens are read or decoded with it.

Nothing of it is trained then, so products with its weights may be prepared once. Saves, on a CPU, laying the weights
out for oneDNN at every call, which at few rows takes as long as the product (docs/performance.md); there
`REASONMAXXER_CPU_KERNELS=0` switches it off. Saves, everywhere, what PEFT does around the products of an adapter.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear

from reasonmaxxer.models.cpu import kernels_on, other_forwards

LIMIT_BYTES = 4 * 2**30
"""Main memory that weights laid out anew may take; those of a larger model stay as they are."""
ROWS = 16
"""Rows of a product that the layout is chosen for; fewer and many more are as fast with it."""

Product = Callable[[Tensor], Tensor]


def frozen(model: Any) -> AbstractContextManager[None]:
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
    return other_forwards(_prepared(model))


@torch.no_grad()
def _prepared(model: Any) -> dict[Any, Product]:
    """What the layers do that can do better than their own forward."""
    adapted = [m for m in model.modules() if _is_active(m)] if hasattr(model, "peft_config") else []
    inside = {module for layer in adapted for module in layer.modules()}
    small = sum(p.numel() * p.element_size() for p in model.parameters()) <= LIMIT_BYTES
    plain = (m for m in model.modules() if type(m) is Linear and m not in inside and small and _lays_out(m.weight))
    free = [module for module in (*adapted, *plain) if "forward" not in vars(module)]  # others keep what they have
    return {m: _adapted_product(m, small) if m in inside else _product(m.weight, m.bias, small) for m in free}


def _product(weight_ED: Tensor, bias_E: Tensor | None, small: bool) -> Product:
    """`linear` by weights that stay, laid out for it where they can be."""
    weight_ED, bias_E = weight_ED.detach(), None if bias_E is None else bias_E.detach()
    if not (small and _lays_out(weight_ED)):
        return lambda x: linear(x, weight_ED, bias_E)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_ED, ROWS)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias_E, "none", [], "")


def _lays_out(weight: Tensor) -> bool:
    """Whether PyTorch can lay these weights out: it does so for its own compiler."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if weight.device.type != "cpu" or not there or not kernels_on():
        return False
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
    down, both = _product(down_RD, None, small), _product(both_EDR, base.bias, small)
    return lambda x: both(torch.cat([x, down(x)], dim=-1))


def _is_active(layer: Any) -> bool:
    """Whether a layer is a base plus two products, which DoRA, a bias of LoRA's own, other layers than
    linear ones and weights packed into four bits are not, nor an adapter that is off."""
    from peft.tuners.lora import LoraLayer

    if not isinstance(layer, LoraLayer) or layer.disable_adapters:
        return False
    base, names = layer.get_base_layer(), layer.active_adapters
    varied = any(name in layer.lora_variant or layer.lora_bias.get(name) for name in names)
    return isinstance(base, Linear) and base.weight.is_floating_point() and not varied
