"""Attention within rows of several stems on an accelerator: one call a layer, however many branches.

A call a branch, as a CPU makes them, would take longer to launch than to compute. PyTorch's flash
attention of variable lengths computes what is asked for and nothing else; the keys of prompts are
gathered for it once a completion. Where it is not to be had (float32, older GPUs, other devices) the whole
row is one product with a mask, which computes between completions, too, and throws that away.
"""

import warnings
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_flash_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations.sdpa_attention import repeat_kv

from reasonmaxxer.models.layout import RowLayout

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # PyTorch before 2.10
    varlen_attn = None  # type: ignore[assignment]


def in_one_call(query: Tensor, key: Tensor, value: Tensor, scale: float, layout: RowLayout) -> Tensor:
    """Attention of a row [1, heads, T, head size].

    Args:
        query: of all heads.
        key: of the key-value heads.
        value: likewise.
        scale: of the scores.
        layout: says what may see what.

    Returns:
        [1, T, heads, head size].
    """
    if _has_flash(query.device, query.dtype, query.shape[1], key.shape[1], query.shape[3]):
        return flash(query, key, value, scale, layout)
    return masked(query, key, value, scale, layout)


def masked(query: Tensor, key: Tensor, value: Tensor, scale: float, layout: RowLayout) -> Tensor:
    """`in_one_call` by one product over the whole row, in any floating type."""
    repeats = query.shape[1] // key.shape[1]
    keys, values = repeat_kv(key, repeats), repeat_kv(value, repeats)
    mask = layout.mask
    return scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale).transpose(1, 2)


def flash(query: Tensor, key: Tensor, value: Tensor, scale: float, layout: RowLayout) -> Tensor:
    """`in_one_call` by flash attention of variable lengths, in half precision."""
    query_THE, key_TGE, value_TGE = (state[0].transpose(0, 1) for state in (query, key, value))
    runs = layout.segments
    attended_THE = varlen_attn(
        query_THE,
        key_TGE.index_select(0, runs.key_S),
        value_TGE.index_select(0, runs.key_S),
        runs.query_ends,
        runs.key_ends,
        runs.longest_query,
        runs.longest_key,
        scale=scale,
        window_size=(-1, 0),  # causal: a run's queries are the last of its keys, with which the kernel aligns them
        enable_gqa=True,
    )
    return attended_THE[None]  # type: ignore[call-overload]


@cache
def _has_flash(device: torch.device, dtype: torch.dtype, heads: int, groups: int, size: int) -> bool:
    """Whether there is a kernel of variable lengths for such layers: tried once, on a short row."""
    there = varlen_attn is not None and "enable_gqa" in signature(varlen_attn).parameters
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16) or size % 8 or not there:
        return False
    layout = RowLayout([[3, 4, 2], [2, 5]], device)
    with torch.inference_mode(False), torch.enable_grad():
        query, key, value = (  # no random numbers, which a seed has given to others
            torch.arange(count * 16 * size, device=device).sin().view(1, count, 16, size).to(dtype)
            for count in (heads, groups, groups)
        )
        if not can_use_flash_attention(SDPAParams(query, key, value, None, 0.0, False, True)):
            return False
        ours, plain = (_tried(read, [query, key, value], layout) for read in (flash, masked))
    if all((own - exact).norm() < 0.1 * exact.norm() for own, exact in zip(ours, plain, strict=True)):
        return True
    warnings.warn(
        f"Flash attention of PyTorch {torch.__version__} does not give what a mask gives here: rows are "
        "read with a mask, which is slower.",
        stacklevel=2,
    )
    return False


def _tried(read: Any, states: list[Tensor], layout: RowLayout) -> list[Tensor]:
    """What a kernel makes of a row, and gradients of something of it."""
    leaves = [state.detach().requires_grad_() for state in states]
    out = read(*leaves, leaves[0].shape[3] ** -0.5, layout)
    return [part.float() for part in (out, *torch.autograd.grad(out.pow(2).sum(), leaves))]
