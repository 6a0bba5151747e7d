"""A GGUF file of quantized weights made a plain transformers folder, a block of rows at a time."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reasonmaxxer.artifacts import whole_file

if TYPE_CHECKING:
    import torch

ROWS = 4096
"""Dequantized at a time."""


def convert(gguf: Path, folder: Path, dtype: str, end_tokens: tuple[int, ...] = ()) -> None:
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
    _write_weights(reader, shapes, config, folder / "model.safetensors")


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


def _write_weights(reader: Any, shapes: dict[str, tuple[int, ...]], config: Any, path: Path) -> None:
    """Write tensors as `save_pretrained` would, byte for byte, but without holding them."""
    import torch

    sources = _sources(reader, config.num_hidden_layers, shapes)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(_header(shapes, config.dtype))
        for name in sorted(shapes):
            for block in _blocks(sources[name], _row_order(name, shapes[name], config)):
                file.write(block.to(config.dtype).view(torch.uint8).numpy().data)


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


def _blocks(tensor: Any, order: np.ndarray) -> Iterator[torch.Tensor]:
    """Rows of a tensor in float32, a block at a time."""
    import torch
    from gguf import dequantize

    for start in range(0, len(order), ROWS):
        rows = tensor.data[order[start : start + ROWS]]
        yield torch.from_numpy(dequantize(rows, tensor.tensor_type))


def _header(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    """The head of a safetensors file: its length, then names, types, shapes and offsets as JSON."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    kind = {"float32": "F32", "bfloat16": "BF16"}[str(dtype).removeprefix("torch.")]
    end = 0
    for name, shape in sorted(shapes.items()):
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
