"""Attention within rows that hold a prompt and several completions of it.

Each completion attends to the prompt and to itself, in a product of its own: nothing is computed between
completions, where a mask over the whole row would compute it and throw it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from reasonmaxxer.models.head import bare

NAME = "reasonmaxxer_branched"

Layout = Sequence[int]
"""Tokens of the prompt, then of each completion."""


def branched_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    *,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a row [1, heads, T, head size] in the form transformers calls it.

    Args:
        module: the attention layer.
        query: of all heads.
        key: of the key-value heads.
        value: likewise.
        attention_mask: not looked at where a layout says all.
        scaling: of the scores; none is one over the root of the head size.
        layout: passed through the model's forward; none is plain sdpa.
        **kwargs: what else the layer passes; dropout is not supported.
    """
    if layout is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return plain
    repeats, sizes = getattr(module, "num_key_value_groups", 1), list(layout)
    states = (query, repeat_kv(key, repeats), repeat_kv(value, repeats))
    (q0, *q), (k0, *k), (v0, *v) = (torch.split(state, sizes, 2) for state in states)
    parts = [scaled_dot_product_attention(q0, k0, v0, is_causal=True, scale=scaling)]
    for own_q, own_k, own_v in zip(q, k, v, strict=True):
        length = own_q.shape[2]
        past = torch.ones(length, sizes[0] + length, dtype=torch.bool, device=query.device)
        attended = scaled_dot_product_attention(
            own_q,
            torch.cat([k0, own_k], 2),
            torch.cat([v0, own_v], 2),
            attn_mask=past.tril(sizes[0]),
            scale=scaling,
        )
        parts.append(attended)
    return torch.cat(parts, 2).transpose(1, 2), None


def use_branches(model: Any) -> bool:
    """Let the model's layers attend by `layout` where they are given one; sdpa stays as it is.

    Returns:
        Whether they can: sdpa in every layer and no sliding window.
    """
    config = bare(model).config.get_text_config()
    only = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    kinds = set(getattr(config, "layer_types", None) or [only])
    if config._attn_implementation not in ("sdpa", NAME) or kinds != {"full_attention"}:
        return False
    config._attn_implementation = NAME
    return True


AttentionInterface.register(NAME, branched_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
