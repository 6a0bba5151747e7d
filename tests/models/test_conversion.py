"""GGUF files made folders: weights to the bit, the finer of two heads, tokens, the bytes of the file."""

import pytest
import torch
from gguf import GGMLQuantizationType, dequantize, quantize
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from reasonmaxxer.models import conversion
from reasonmaxxer.models.conversion import convert
from tests.models.gguf_files import LETTERS, TOKENS, gguf_model, write_gguf

IDS = torch.arange(40, 60)[None]


@pytest.fixture(params=["llama", "qwen2"])
def model(request):
    return gguf_model(request.param)


def converted(tmp_path, dtype="float32", **options):
    convert(tmp_path / "m.gguf", tmp_path / "made", dtype, **options)
    return AutoModelForCausalLM.from_pretrained(tmp_path / "made")


def test_weights_that_were_not_rounded_come_back_to_the_bit(tmp_path, model, monkeypatch):
    monkeypatch.setattr(conversion, "ROWS", 24)  # several blocks a tensor, the last one short
    write_gguf(tmp_path / "m.gguf", model)
    made = converted(tmp_path)
    assert made.config.tie_word_embeddings
    theirs = dict(made.named_parameters())
    assert theirs.keys() == dict(model.named_parameters()).keys()
    for name, weight in model.named_parameters():
        assert torch.equal(theirs[name], weight), name
    assert torch.allclose(made(IDS).logits, model(IDS).logits, rtol=1e-4, atol=1e-4)


def test_rounded_weights_are_those_that_transformers_reads(tmp_path, model):
    write_gguf(tmp_path / "m.gguf", model, "Q8_0")
    made = converted(tmp_path)
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32).state_dict()
    for name, weight in made.named_parameters():
        assert torch.equal(weight, read[name]), name


@pytest.mark.parametrize("embedding, head", [("Q4_0", "Q8_0"), ("Q8_0", "Q4_0")])
def test_of_a_matrix_rounded_twice_the_finer_one_is_embedding_and_head(tmp_path, model, embedding, head):
    write_gguf(tmp_path / "m.gguf", model, embedding, head)
    made = converted(tmp_path, "bfloat16")
    q8 = GGMLQuantizationType.Q8_0
    original = model.get_input_embeddings().weight.numpy()
    finer = torch.from_numpy(dequantize(quantize(original, q8), q8)).bfloat16()
    assert torch.equal(made.get_input_embeddings().weight, finer)
    assert made.get_output_embeddings().weight is made.get_input_embeddings().weight
    assert {weight.dtype for weight in made.parameters()} == {torch.bfloat16}
    assert "lm_head.weight" not in load_file(tmp_path / "made" / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_file_is_byte_for_byte_what_save_pretrained_writes(tmp_path, model, dtype):
    write_gguf(tmp_path / "m.gguf", model)
    convert(tmp_path / "m.gguf", tmp_path / "made", dtype)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path / "saved")
    made, saved = (tmp_path / folder / "model.safetensors" for folder in ("made", "saved"))
    assert made.read_bytes() == saved.read_bytes()


def test_tokens(tmp_path):
    write_gguf(tmp_path / "m.gguf", gguf_model("qwen2"))
    convert(tmp_path / "m.gguf", tmp_path / "made", "float32", end_tokens=(260, 258))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "made")
    text = "ab<tool_call>12<|im_end|>"
    ids = [257, 261, LETTERS.index("1"), LETTERS.index("2"), 260]
    assert tokenizer(text).input_ids == ids  # Qwen splits numbers into digits, whatever the merges
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ab<tool_call>12"
    assert len(tokenizer) == len(TOKENS)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|endoftext|>",
        "<|im_end|>",
        "<|endoftext|>",
    )
    generation = GenerationConfig.from_pretrained(tmp_path / "made")
    assert (generation.eos_token_id, generation.pad_token_id) == ([260, 258], 258)
