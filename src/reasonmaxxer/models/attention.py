"""The attention that layers call: two shapes of work have products of their own, the rest is sdpa.

Training reads rows of a prompt and several completions (`branches` on a CPU, `accelerated` elsewhere).
Decoding asks one token of every sequence at once: there the fused kernel of a CPU, made for many
queries, takes twice as long as the products it stands for, and on a GPU sdpa would copy the keys for
each query head.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from reasonmaxxer.models.accelerated import in_one_call
from reasonmaxxer.models.cpu import kernels_on
from reasonmaxxer.models.cpu.branches import branched
from reasonmaxxer.models.layout import Layout, RowLayout

NAME = "reasonmaxxer"


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    *,
    layout: RowLayout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of [B, heads, Q, head size] over S keys, in the form transformers calls it.

    Args:
        module: the attention layer.
        query: of all heads.
        key: of the key-value heads.
        value: likewise.
        attention_mask: bool [B, 1, Q, S], or none; not looked at where a layout says all.
        scaling: of the scores; none is one over the root of the head size.
        layout: of a row of several completions, passed through the model's forward.
        **kwargs: what else the layer passes; dropout is not supported.

    Returns:
        What is attended, [B, Q, heads, head size], and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is not None:
        read = branched if _on_cpu(query) else in_one_call
        return read(query, key, value, scale, layout), None
    if _decoding(query, attention_mask):
        one_query = _by_products if _on_cpu(query) else _fused
        return one_query(query, key, value, attention_mask, scale), None
    plain: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )
    return plain


def _on_cpu(query: Tensor) -> bool:
    return query.device.type == "cpu" and kernels_on()


def _decoding(query: Tensor, mask: Tensor | None) -> bool:
    few = query.shape[2] == 1 and not query.requires_grad
    return few and (mask is None or mask.dtype == torch.bool)


def _by_products(query: Tensor, key: Tensor, value: Tensor, mask_B11S: Tensor | None, scale: float) -> Tensor:
    """One query a head: the R heads of a key-value head share a product, softmax in float32."""
    batch, groups, _, size = key.shape
    query_BGER = (query * scale).view(batch, groups, -1, size).transpose(2, 3)
    score_BGRS = torch.matmul(key, query_BGER).transpose(2, 3).float()
    if mask_B11S is not None:
        score_BGRS.masked_fill_(~mask_B11S, -torch.inf)
    attended = torch.matmul(score_BGRS.softmax(-1).to(value.dtype), value)
    return attended.view(batch, 1, -1, value.shape[3])


def _fused(query: Tensor, key: Tensor, value: Tensor, mask_B11S: Tensor | None, scale: float) -> Tensor:
    """One query a head: the R heads of a key-value head are R queries, so that no key is copied."""
    batch, groups, _, size = key.shape
    attended_BGRE = scaled_dot_product_attention(
        query.reshape(batch, groups, -1, size), key, value, attn_mask=mask_B11S, scale=scale
    )
    return attended_BGRE.reshape(batch, 1, -1, value.shape[3])


def can_attend(config: Any) -> bool:
    """Whether a text model of this config may attend by `attention`: sdpa everywhere, no sliding window."""
    only = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    kinds = set(getattr(config, "layer_types", None) or [only])
    return config._attn_implementation in ("sdpa", NAME) and kinds == {"full_attention"}


def row_arguments(layout: Layout, ids_1T: Tensor) -> dict[str, Any]:
    """What the forward of a model that attends by `attention` is told of a row of several completions.

    Args:
        layout: of the row.
        ids_1T: its tokens.
    """
    # four dimensions, so that the model makes no mask of its own
    unused = ids_1T.new_ones(1, 1, 1, 1, dtype=torch.bool)
    return {"attention_mask": unused, "layout": RowLayout(layout, ids_1T.device)}


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
