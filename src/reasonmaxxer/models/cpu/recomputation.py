"""Selective activation recomputation: what is cheap to compute again is not kept for the backward pass.

Saves memory: of what a layer keeps, its norms and the gate of its feed-forward part keep about half, float32 copies
among it, and their arithmetic is next to nothing. Here they keep what they read and compute the rest once more, by the
same operations, so outputs and gradients are the same to the bit. `REASONMAXXER_CPU_KERNELS=0` switches it off.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers.models.llama.modeling_llama import LlamaMLP

from reasonmaxxer.models.cpu import kernels_on, other_forwards


def selective_recomputation(model: Any) -> AbstractContextManager[None]:
    """Within the block, the model's norms and gated feed-forward layers keep only what they read.

    Norms are those called RMSNorm, whose weights are frozen; feed-forward layers those whose code is Llama's, which
    most families copy. All others stay as they are.

    Args:
        model: a causal LM, with an adapter or without. A block within a block does nothing.
    """
    recomputing = ((module, _recomputing(module)) for module in model.modules() if kernels_on())
    return other_forwards({module: forward for module, forward in recomputing if forward is not None})


def _recomputing(module: Any) -> Callable[[Tensor], Tensor] | None:
    kind: Any = type(module)
    if kind.__name__.endswith("RMSNorm") and not any(weight.requires_grad for weight in module.parameters()):
        return partial(_Recomputed.apply, partial(kind.forward, module))
    if _is_gated(kind):

        def gate_and_up(gate: Tensor, up: Tensor) -> Tensor:
            return module.act_fn(gate) * up  # type: ignore[no-any-return]

        def gated(x: Tensor) -> Tensor:
            states = module.gate_proj(x), module.up_proj(x)
            return module.down_proj(_Recomputed.apply(gate_and_up, *states))  # type: ignore[no-any-return, no-untyped-call]

        return gated
    return None


@cache  # a model has thousands of modules, and few kinds
def _is_gated(kind: Any) -> bool:
    """Whether a class's forward is, instruction by instruction, that of Llama's feed-forward layer."""
    code, ours = getattr(kind.forward, "__code__", None), LlamaMLP.forward.__code__
    names = ("co_code", "co_names", "co_consts", "co_varnames")
    return code is not None and all(getattr(code, name) == getattr(ours, name) for name in names)


class _Recomputed(torch.autograd.Function):
    """A function of which nothing but its inputs is kept.

    `torch.utils.checkpoint` does the same for any module at a cost that these small ones would feel.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return function(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            leaves = [state.detach().requires_grad_() for state in ctx.saved_tensors]
            return None, *torch.autograd.grad(ctx.function(*leaves), leaves, gradient)
