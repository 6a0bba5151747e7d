"""Loading: devices and types, local folders, and what is refused."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from reasonmaxxer import trial
from reasonmaxxer.config import AdapterConfig, DistillationConfig, MicroscopeConfig, ModelConfig, Recipe, SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import OutputHead, base, decoder, eos_ids, load_model, resolve_dtype
from reasonmaxxer.models.base import table_positions
from reasonmaxxer.models.head import unlike_head
from reasonmaxxer.models.reading import reading
from tests.tiny import FAMILIES, tiny_folder, tiny_model

NOWHERE = ModelConfig(device="cuda:77")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


def test_folder_loads_frozen_with_its_own_weights(folder):
    loaded = load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))
    saved = load_file(folder / "model.safetensors")
    for name, weight in loaded.model.state_dict().items():
        if name in saved:
            assert torch.equal(weight, saved[name])
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert not loaded.model.training
    assert (loaded.name, loaded.source) == (str(folder), "folder")
    names = ("model.safetensors", "chat_template.jinja", "config.json", "generation_config.json",
             "tokenizer.json", "tokenizer_config.json")  # fmt: skip
    lines = [f"{n} {hashlib.sha256((folder / n).read_bytes()).hexdigest()}" for n in names]
    assert loaded.fingerprint == hashlib.sha256("\n".join(["", *lines]).encode()).hexdigest()


def test_dtype_and_attention_are_what_is_asked_for(folder):
    config = ModelConfig(name=str(folder), device="cpu", dtype="bfloat16", attention="eager")
    model = load_model(config).model
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"


def test_automatic_dtype(monkeypatch):
    config = ModelConfig()
    for flags, dtype in (({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags)
        assert resolve_dtype(config, "cpu") == dtype
    for capability, dtype in (((9, 0), torch.bfloat16), ((7, 5), torch.float16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert resolve_dtype(config, "cuda") == dtype


def test_end_of_sequence_ids_of_generation_config_and_tokenizer(folder):
    loaded = load_model(ModelConfig(name=str(folder), device="cpu"))
    assert eos_ids(loaded.model, loaded.tokenizer) == (2,)
    loaded.model.generation_config.eos_token_id = [5, 7]
    assert eos_ids(loaded.model, loaded.tokenizer) == (2, 5, 7)


def test_a_model_that_nothing_ends_is_refused(folder):
    loaded = load_model(ModelConfig(name=str(folder), device="cpu"))
    loaded.tokenizer.eos_token = None
    for named in (None, [], "2", [2, "5"]):
        loaded.model.generation_config.eos_token_id = named
        with pytest.raises(UserError, match=r"no token that ends .*eos_token_id.*generation_config"):
            eos_ids(loaded.model, loaded.tokenizer)


@pytest.mark.parametrize("family, positions", [("gpt2", 256), ("opt", 256), ("gptj", 256), ("llama", None)])
def test_which_models_have_a_table_of_positions(monkeypatch, family, positions):
    monkeypatch.setitem(FAMILIES, family, FAMILIES.get(family, {"rotary_dim": 4}))
    model = tiny_model(family)
    assert table_positions(model) == positions
    if positions:
        beyond = torch.full((1, 257), 5)
        model(beyond[:, :256])
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            model(beyond)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_peft_folder_is_its_base_with_the_adapter_in_its_weights(folder, tmp_path, dtype):
    config = ModelConfig(name=str(folder), device="cpu", dtype=dtype)
    base = load_model(config)
    model = add_adapter(base.model, AdapterConfig(rank=4, alpha=8), 0)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    weight = "model.layers.0.self_attn.q_proj.weight"
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    down, up = (getattr(layer, part)["default"].weight for part in ("lora_A", "lora_B"))
    expected = (layer.weight.double() + 2 * up.double() @ down.double()).to(layer.weight.dtype)
    loaded = load_model(config.model_copy(update={"name": str(tmp_path / "adapter")}))
    found = loaded.model.state_dict()[weight]
    assert found.dtype == layer.weight.dtype
    assert torch.allclose(found, expected, rtol=1e-2 if dtype == "bfloat16" else 1e-6, atol=1e-6)
    assert not torch.equal(found, layer.weight)
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.fingerprint != base.fingerprint and str(folder) in loaded.source
    assert loaded.tokenizer.get_vocab() == base.tokenizer.get_vocab()


def test_adapters_that_cannot_be_used(folder, tmp_path):
    other = tiny_folder(tmp_path / "qwen", "qwen2")
    base = load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))
    model = add_adapter(base.model, AdapterConfig(rank=4, alpha=8, target_modules=("o_proj",)), 0)
    model.save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"base_model_name_or_path": str(other), "r": 2}))
    with pytest.raises(UserError, match="does not fit its base"):
        load_model(ModelConfig(name=str(tmp_path / "adapter"), device="cpu", dtype="float32"))
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        load_model(ModelConfig(name=str(tmp_path / "adapter"), device="cpu"))


@pytest.mark.parametrize("family", FAMILIES)
def test_head_makes_the_models_own_logits(family):
    model = tiny_model(family)
    assert unlike_head(model) is None
    ids = torch.tensor([[3, 9, 40, 12]])
    hidden = decoder(model)(input_ids=ids).last_hidden_state
    torch.testing.assert_close(OutputHead(model)(hidden), model(ids).logits)


@pytest.mark.parametrize("family, extra", [("granite", {"logits_scaling": 4.0}), ("cohere", {"logit_scale": 0.25})])
def test_head_knows_scaled_logits(monkeypatch, family, extra):
    monkeypatch.setitem(FAMILIES, family, {})
    model = tiny_model(family, **extra)
    assert OutputHead(model).scale == 0.25
    assert unlike_head(model) is None


def test_head_that_changes_logits_in_an_unknown_way_is_refused():
    model = tiny_model("llama")
    plain = model.forward

    def forward(*args, **kwargs):
        output = plain(*args, **kwargs)
        output.logits = output.logits * 1.5
        return output

    model.forward = forward
    with pytest.raises(UserError, match=r"model_type llama.*changes its logits"):
        reading(model)


def test_four_bits_are_refused_without_cuda(tmp_path):
    config = ModelConfig(name="nothing-is-loaded", device="cpu", quantization="4bit")
    with pytest.raises(UserError, match=r"quantization = '4bit' needs a CUDA device.*cpu"):
        load_model(config)


@pytest.mark.parametrize(
    "config, says",
    [
        (Recipe(model=NOWHERE), "model.device = 'cuda:77' is not"),
        (MicroscopeConfig(base=NOWHERE), "base.device = 'cuda:77' is not"),
        (DistillationConfig(base=ModelConfig(device="cpu"), teacher=NOWHERE), "teacher.device = 'cuda:77' is not"),
        (
            SuiteConfig(model=ModelConfig(device="cpu", quantization="4bit")),
            "model.quantization = '4bit' needs a CUDA",
        ),
    ],
)
def test_what_a_machine_cannot_do_is_named_by_the_commands_key(config, says):
    with pytest.raises(UserError, match=f"^{says}"):
        base.check_models(config)


def test_four_bits_are_refused_without_bitsandbytes(monkeypatch):
    monkeypatch.setattr(base, "resolve_device", lambda config: "cuda")
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'reasonmaxxer\[quantized\]'"):
        base.check_device(ModelConfig(quantization="4bit"))


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"r": 10**7}, "'r' is 10,000,000, and no weight beside it is larger than 32"),
        ({"rank_pattern": {"q_proj": 10**7}}, "'q_proj' is 10,000,000"),
        ({"target_modules": r"(([a-z]|_|\.|\w)+)+#"}, "took longer than 1 s"),
        ({"exclude_modules": r"(([a-z]|_|\.|\w)+)+#"}, "took longer than 1 s"),
        ({"alpha_pattern": {r"(([a-z]|_|\.|\w)+)+#": 4}}, "took longer than 1 s"),
    ],
)
def test_an_adapters_config_cannot_keep_it_busy(folder, tmp_path, changed, said, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    base = load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))
    add_adapter(base.model, AdapterConfig(rank=4), 0).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | changed))
    with pytest.raises(UserError, match=said):
        load_model(ModelConfig(name=str(tmp_path), device="cpu", dtype="float32"))


def test_an_adapter_is_not_merged_into_four_bits():
    with pytest.raises(UserError, match="cannot be merged into weights of four bits"):
        load_model(ModelConfig(name="smollm2-teacher", device="cpu", quantization="4bit"))


def test_transformers_is_told_of_four_bits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    config = ModelConfig(dtype="bfloat16", quantization="4bit")
    told = base._quantized(config, "cuda")
    assert told["device_map"] == {"": torch.device("cuda:1")}
    nf4 = told["quantization_config"].to_dict()
    assert nf4["load_in_4bit"] and nf4["bnb_4bit_quant_type"] == "nf4"
    assert nf4["bnb_4bit_compute_dtype"] == "bfloat16"
    assert base._quantized(ModelConfig(), "cuda") == {}
