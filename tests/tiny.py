"""Tiny random models of the common families, made in memory."""

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import AutoConfig

FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 6, "head_dim": 16},
    "gemma2": {"sliding_window": 6, "head_dim": 16, "query_pre_attn_scalar": 16},
    "gemma3_text": {"sliding_window": 6, "head_dim": 16, "query_pre_attn_scalar": 16},
}


def tiny_model(family="llama", vocab=97, seed=0, scale=12.0, **extra):
    """A float32 model of two to four layers; `scale` sharpens its predictions."""
    config = AutoConfig.for_model(
        family,
        **{
            "vocab_size": vocab,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            **FAMILIES[family],
            **extra,
        },
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(scale if "embed" not in name and "lm_head" not in name else 3.0)
    model.generation_config.eos_token_id = 2
    return model.eval().requires_grad_(False)
