"""Attention masks in the form a model's layers and kernels take them."""

from typing import Any

import torch
from torch import Tensor


def attention_masks(model: Any, allowed_BQS: Tensor, distance_BQS: Tensor) -> Tensor | dict[str, Tensor]:
    """Four-dimensional masks, one a kind of attention layer where a family has several.

    Args:
        model: a causal LM, PEFT-wrapped or not.
        allowed_BQS: bool, which positions S each query Q may see if the window were endless.
        distance_BQS: position of the query less position of what it sees, for sliding windows.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    near_BQS = allowed_BQS & (distance_BQS < window) if window else allowed_BQS
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds:  # families with one kind of layer take the mask itself
        return _for_kernel(model, near_BQS)
    masks = {"full_attention": allowed_BQS, "sliding_attention": near_BQS}
    return {kind: _for_kernel(model, masks[kind]) for kind in kinds}


def _for_kernel(model: Any, allowed_BQS: Tensor) -> Tensor:
    allowed_B1QS = allowed_BQS[:, None]
    if model.config.get_text_config()._attn_implementation != "eager":
        return allowed_B1QS
    bias = torch.zeros_like(allowed_B1QS, dtype=model.dtype)  # the eager kernel adds its mask
    return bias.masked_fill_(~allowed_B1QS, torch.finfo(model.dtype).min)
