"""Tiny random models of every causal family that transformers knows."""

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as FAMILIES

__all__ = ["CONFIG_MAPPING", "FAMILIES", "NOT_TINY", "VOCABULARY", "tiny_family"]

VOCABULARY = 97
WINDOW = 6
SIZES = {
    32: "hidden_size n_embd d_model dim embedding_size moe_intermediate_size expert_intermediate_size "
    "shared_expert_intermediate_size router_hidden_size",
    64: "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim n_inner d_inner dim_ff expert_ffn_size",
    4: "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_encoder_layers "
    "num_decoder_layers num_attention_heads n_head n_heads num_heads decoder_attention_heads "
    "encoder_attention_heads num_decoder_attention_heads num_encoder_attention_heads num_experts "
    "num_local_experts n_routed_experts moe_num_experts moe_topk linear_num_heads linear_num_key_heads "
    "linear_num_value_heads mamba_n_heads mamba_num_heads index_n_heads rotary_dim",
    2: "num_key_value_heads num_experts_per_tok moe_top_k moe_k eos_token_id",
    8: "head_dim qk_rope_head_dim qk_nope_head_dim v_head_dim linear_head_dim linear_key_head_dim "
    "linear_value_head_dim mamba_d_state state_size",
    16: "q_lora_rank kv_lora_rank o_lora_rank mamba_d_head mamba_head_dim index_head_dim",
    128: "max_position_embeddings n_positions n_ctx max_seq_len",
    WINDOW: "sliding_window window_size attention_window_size",
    VOCABULARY: "vocab_size vocab_size_per_layer_input",
    1: "bos_token_id n_group topk_group",
    0: "pad_token_id",
}
SMALL = {name: size for size, names in SIZES.items() for name in names.split()}
SMALL |= dict.fromkeys(("initializer_range", "init_std"), 0.1)  # or attention would hardly matter
MIXED = ["linear_attention", "full_attention"] * 2


def each(names, value):
    """One value for several names."""
    return dict.fromkeys(names.split(), value)


ROPE = {"rope_type": "default", "rope_theta": 1e4}
MANY_KEYS = {"num_key_value_heads": 4}
OWN = {
    **each(
        "axk1 axk2 deepseek_v2 deepseek_v3 deepseek_v32 glm4_moe_lite glm_moe_dsa longcat_flash minicpm3 youtu",
        MANY_KEYS,
    ),
    "bailing_hybrid": MANY_KEYS | {"layer_types": MIXED},
    "bamba": {"attn_layer_indices": [1, 3]},
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 32},
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": MANY_KEYS
    | {
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 4,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
    },
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 1, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": MIXED},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": MANY_KEYS | {"layer_types": MIXED},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"head_dim": 16, "n_groups": 1},
    "nemotron_h": {"n_groups": 1},
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 16,
        "indexer_compress_ratio": 2,
    },
    "xlstm": {"hidden_size": 64},
    "zamba": {"num_hidden_layers": 9, "attn_layer_period": 3, "attn_layer_offset": 2},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1},
}

NOT_TINY = {
    **each(
        "emu3 fuyu gemma3 gemma3n gemma4 gemma4_unified gemma4_unified_assistant git got_ocr2 llama4 "
        "mllama moss_transcribe_diarize phi4_multimodal qwen3_5 qwen3_5_moe qwen4_exp dots3_note",
        "sees or hears, too; its text model is a family of its own or a copy of one",
    ),
    **each("blt gemma4_assistant", "reads what another model makes"),
    **each("musicgen musicgen_melody", "reads several streams of sound"),
    "reformer": "its config is no decoder's by default",
}


def tiny_family(kind: str, **changes):
    """A float32 model of a type, its weights large enough for attention to matter."""
    config_class = CONFIG_MAPPING[kind]
    fields = {*config_class.__dataclass_fields__, *config_class.attribute_map}
    known = {name: size for name, size in SMALL.items() if name in fields}
    for name, target in config_class.attribute_map.items():
        if name in known and target in known:
            del known[name]
    config = config_class(**{**known, **OWN.get(kind, {}), **changes})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config = GenerationConfig()  # some families force tokens
    return model.eval().requires_grad_(False)
