"""A GGUF file of quantized weights made a plain transformers folder, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reasonmaxxer.artifacts import whole_file

if TYPE_CHECKING:
    import torch

ROWS = 4096
"""Dequantized to float32 at a time."""


def convert(gguf: Path, folder: Path, dtype: str, end_tokens: Sequence[int] = ()) -> None:
    """Write the model and the tokenizer of a GGUF file as a transformers folder.

    Of Llama's or Qwen2's architecture, with one matrix for embedding and output head. A file that holds
    them as two, rounded differently, gives the finer one.

    Args:
        gguf: the file.
        folder: where to write; made if it is not there.
        dtype: type to store, `float32` or `bfloat16`.
        end_tokens: ids that end a completion; none takes the file's one.
    """
    import torch
    from gguf import GGUFReader
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    reader = GGUFReader(gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
    _name_special_tokens(tokenizer, reader)
    tokenizer.save_pretrained(folder)
    config = AutoConfig.from_pretrained(gguf.parent, **options)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights no longer are GGUF
    config.tie_word_embeddings = True
    config.dtype = dtype
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(empty).__name__]
    config.save_pretrained(folder)
    GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=list(end_tokens) or config.eos_token_id,
        pad_token_id=config.pad_token_id,
    ).save_pretrained(folder)
    shapes = {name: tuple(weight.shape) for name, weight in empty.named_parameters()}
    with whole_file(folder / "model.safetensors") as temporary:
        save_file(_weights(reader, shapes, config), temporary, metadata={"format": "pt"})


def _name_special_tokens(tokenizer: Any, reader: Any) -> None:
    """Set what transformers before 5.20 left out: added tokens, and which one ends or pads."""
    from gguf import TokenType
    from tokenizers import AddedToken

    fields = {key: field.contents() for key, field in reader.fields.items() if "ggml" in key}
    tokens = fields["tokenizer.ggml.tokens"]
    for kind in (TokenType.CONTROL, TokenType.USER_DEFINED):
        special = kind == TokenType.CONTROL
        named = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
        tokenizer.add_tokens(
            [AddedToken(t, normalized=False, special=special) for t, type_ in named if type_ == kind],
            special_tokens=special,
        )
    for name, key in {"bos": "bos", "eos": "eos", "pad": "padding"}.items():
        if (number := fields.get(f"tokenizer.ggml.{key}_token_id")) is not None:
            setattr(tokenizer, f"{name}_token", tokens[number])


def _weights(reader: Any, shapes: dict[str, tuple[int, ...]], config: Any) -> dict[str, torch.Tensor]:
    """Every parameter by name, in the type of the config."""
    import torch
    from gguf import dequantize

    sources = _sources(reader, config.num_hidden_layers, shapes)
    weights = {}
    for name, shape in shapes.items():
        tensor, order = sources[name], _row_order(name, shape, config)
        blocks = (tensor.data[order[start : start + ROWS]] for start in range(0, len(order), ROWS))
        rows = [torch.from_numpy(dequantize(block, tensor.tensor_type)).to(config.dtype) for block in blocks]
        weights[name] = torch.cat(rows)
    return weights


def _sources(reader: Any, layers: int, names: Iterable[str]) -> dict[str, Any]:
    """The tensor of a GGUF file that a parameter's values are in, by the parameter's name."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = reader.fields["general.architecture"].contents()
    number = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    theirs = get_tensor_name_map(number, layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "output.weight" in tensors:  # the same matrix rounded twice: more bytes are finer
        twice = (tensors["token_embd.weight"], tensors["output.weight"])
        tensors["token_embd.weight"] = max(twice, key=lambda tensor: int(tensor.n_bytes))
    return {name: tensors[theirs.get_name(name, (".weight", ".bias"))] for name in names}


def _row_order(name: str, shape: tuple[int, ...], config: Any) -> np.ndarray:
    """Rows of a tensor as transformers has them: llama.cpp interleaves the halves of Llama's heads."""
    rows = np.arange(shape[0])
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    projection = name.split(".")[-2]
    if config.model_type != "llama" or projection not in heads:
        return rows
    return rows.reshape(heads[projection], -1, 2).swapaxes(1, 2).ravel()
