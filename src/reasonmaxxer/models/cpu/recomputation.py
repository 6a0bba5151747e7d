"""Selective activation recomputation: what is cheap to compute again is not kept for the backward pass.

Of what a layer keeps, its norms and the gate of its feed-forward part keep about half, float32 copies among
it, and their arithmetic is next to nothing. Here they keep what they read and compute the rest once more.
Outputs are those of the modules themselves, to the bit, and in half precision gradients are, too: the
operations are the same ones, in the same types and order, done in place. In float32 the gradients that meet
at a norm's input are summed in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu
from transformers.activations import SiLUActivation
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm


@contextmanager
def selective_recomputation(model: Any) -> Iterator[None]:
    """Within the block, the model's norms and gated feed-forward layers keep only what they read.

    Known are those whose code is that of Llama's, which most families copy; all others, and norms whose
    weights are trained, stay as they are.

    Args:
        model: a causal LM, with an adapter or without. A block within a block does nothing.
    """
    with ExitStack() as stack:
        for module in model.modules():
            own = _recomputing(module)
            # one that has a forward of its own is in a block already, or has a hook of accelerate's
            if own is not None and "forward" not in vars(module):
                module.forward = own  # hides the class's own until it is taken off again
                stack.callback(delattr, module, "forward")
        yield


def _recomputing(module: Any) -> Callable[[Tensor], Tensor] | None:
    kind: Any = type(module)
    if _computes(kind, LlamaRMSNorm) and not module.weight.requires_grad:

        def norm(x: Tensor) -> Tensor:
            if module.weight.dtype != x.dtype:
                return type(module).forward(module, x)  # type: ignore[no-any-return]
            return _RMSNorm.apply(x, module.weight, module.variance_epsilon)  # type: ignore[no-any-return, no-untyped-call]

        return norm
    if _computes(kind, LlamaMLP) and isinstance(module.act_fn, torch.nn.SiLU | SiLUActivation):

        def gated(x: Tensor) -> Tensor:
            states = module.gate_proj(x), module.up_proj(x)
            return module.down_proj(_SwiGLU.apply(*states))  # type: ignore[no-any-return, no-untyped-call]

        return gated
    return None


@cache  # a model has thousands of modules, and few kinds
def _computes(kind: Any, known: type) -> bool:
    """Whether a class's forward is, instruction by instruction, that of a known one."""
    code = getattr(kind.forward, "__code__", None)
    ours = known.forward.__code__  # type: ignore[attr-defined]
    names = ("co_code", "co_names", "co_consts", "co_varnames")
    return code is not None and all(getattr(code, n) == getattr(ours, n) for n in names)


class _RMSNorm(torch.autograd.Function):
    """`LlamaRMSNorm`, which keeps its input and one number a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        state = x.to(torch.float32, copy=True)
        scale = torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, scale)
        return weight * state.mul_(scale).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        state = x.to(torch.float32, copy=True)
        slope = (gradient * weight).float()
        d_scale = (slope * state).sum(-1, keepdim=True)
        d_mean = -0.5 * d_scale * scale.pow(3) / state.shape[-1]
        return slope.mul_(scale).add_(state.mul_(2 * d_mean)).to(x.dtype), None, None


class _SwiGLU(torch.autograd.Function):
    """`silu(gate) * up`, which does not keep `silu(gate)`."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_gate = torch.ops.aten.silu_backward(gradient * up, gate)
        return d_gate, silu(gate).mul_(gradient)
