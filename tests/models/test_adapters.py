"""Adapters of other people: each is read as its own folder says, or refused by name."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import load_model
from reasonmaxxer.models.load import load_adapter, merge_adapter
from tests.tiny import tiny_folder, tiny_model

IDS = torch.tensor([[3, 4, 5, 6, 7, 4]])


@pytest.fixture
def base(tmp_path):
    return tiny_folder(tmp_path / "base")


def config(folder):
    return ModelConfig(name=str(folder), device="cpu", dtype="float32")


def adapter(base, config_of_it=None):
    """A saved adapter whose every weight is random, and the model with it."""
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(load_model(config(base)).model, config_of_it or lora)
    torch.manual_seed(0)
    for weight in (p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(weight, std=0.3)
    model.eval().save_pretrained(base.parent / "adapter")
    return base.parent / "adapter", model


def rename(folder, change):
    file = folder / "adapter_model.safetensors"
    save_file({name: w for k, w in load_file(file).items() if (name := change(k))}, file)


def write(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda key: key.removeprefix("base_model.model."), "12 are missing.*12 are unknown.*lack"),
        (lambda key: f"module.{key}", r"12 are missing.*12 are unknown.*carry the prefix 'module\.'"),
        (lambda key: key.replace("self_attn", "attn"), "12 are missing.*12 are unknown"),
        (lambda key: "layers.1." not in key and key, r"4 are missing \(.*layers\.1\..*lora_A\.weight"),
        (lambda key: key if "lora_A" in key else f"{key}s", "6 are missing.*6 are unknown"),
    ],
)
def test_keys_that_match_nothing_are_refused(base, change, said):
    folder, _ = adapter(base)
    rename(folder, change)
    with pytest.raises(UserError, match=said):
        load_model(config(folder))


def test_shapes_of_another_base_are_refused(base):
    folder, _ = adapter(base)
    wider = tiny_model(vocab=8, hidden_size=64)
    wider.save_pretrained(base)
    with pytest.raises(UserError, match=r"does not fit its base.*size mismatch"):
        load_model(config(folder))


@pytest.mark.parametrize("held", ["null", "{", "[]", "{}", '{"peft_type": "NEW", "r": 1}'])
def test_a_config_that_cannot_be_read_is_a_sentence(base, held):
    folder, _ = adapter(base)
    (folder / "adapter_config.json").write_text(held)
    with pytest.raises(UserError, match=r"adapter_config\.json (cannot be read|holds|names)"):
        load_model(config(folder))


@pytest.mark.parametrize(
    "values, said",
    [
        ({"base_model_name_or_path": None}, "names no base .* None"),
        ({"base_model_name_or_path": 3}, "names no base"),
        ({"peft_type": None}, "adapter"),
        ({"r": None}, "does not fit"),
        ({"target_modules": ["c_attn"]}, "does not fit .*c_attn"),
    ],
)
def test_null_and_foreign_values_are_a_sentence(base, values, said):
    folder, _ = adapter(base)
    write(folder, **values)
    with pytest.raises(UserError, match=said):
        load_model(config(folder))


def test_an_adapter_that_names_itself_is_refused(base):
    folder, _ = adapter(base)
    write(folder, base_model_name_or_path=str(folder))
    with pytest.raises(UserError, match="names no base"):
        load_model(config(folder))


def test_adapters_that_name_each_other_are_refused(base, tmp_path):
    folder, _ = adapter(base)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    write(folder, base_model_name_or_path=str(other))
    write(other, base_model_name_or_path=str(folder))
    with pytest.raises(UserError, match="names no base"):
        load_model(config(folder))


@pytest.mark.parametrize("load", [load_model, lambda c: load_adapter(c, Path(c.name))])
def test_an_adapter_whose_training_diverged_is_refused(base, load):
    folder, _ = adapter(base)
    weights = load_file(folder / "adapter_model.safetensors")
    weights[min(weights)][0, 0] = torch.nan
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"not finite, in .*lora_A"):
        load(config(folder))


def test_a_config_nested_too_deep_is_a_sentence(base):
    folder, _ = adapter(base)
    (folder / "adapter_config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"adapter_config.json cannot be read"):
        load_model(config(folder))


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig])
def test_learnt_tokens_are_refused_before_the_base_is_loaded(base, kind):
    folder, _ = adapter(base, kind(task_type="CAUSAL_LM", num_virtual_tokens=2))
    (base / "config.json").unlink()
    with pytest.raises(UserError, match="learnt tokens before the prompt"):
        load_model(config(folder))


def test_a_bias_that_weights_have_no_place_for_is_read_beside_them_only(base):
    lora = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], lora_bias=True)
    folder, model = adapter(base, lora)
    with pytest.raises(UserError, match=r"cannot be merged into its base.*evaluate.*lora_bias"):
        load_model(config(folder))
    beside = load_adapter(config(folder), folder).model
    assert torch.equal(beside(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("weight_tying", [True, False])
@pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
def test_an_adapter_on_the_embedding_or_the_head_leaves_the_other(base, tmp_path, tied, weight_tying, targets):
    tiny_model(vocab=8, tie_word_embeddings=tied).save_pretrained(base)
    plain = load_model(config(base)).model
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=targets,
        ensure_weight_tying=tied and weight_tying,
    )  # fmt: skip
    folder, model = adapter(base, lora)
    by_hand = copy.deepcopy(plain)
    by_hand.lm_head.weight = torch.nn.Parameter(plain.lm_head.weight.clone())
    for name in ("model.embed_tokens", "lm_head"):
        layer = model.get_submodule(f"base_model.model.{name}")
        if hasattr(layer, "base_layer"):
            delta = layer.get_delta_weight("default")
            by_hand.get_submodule(name).weight.data += delta
    expected = by_hand(IDS).logits
    assert not torch.allclose(expected, plain(IDS).logits, atol=0.1)
    torch.testing.assert_close(model(IDS).logits, expected, atol=1e-4, rtol=1e-4)
    merged = load_model(config(folder)).model
    torch.testing.assert_close(merged(IDS).logits, expected, atol=1e-4, rtol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    load_model(config(base)).tokenizer.save_pretrained(tmp_path / "merged")
    again = load_model(config(tmp_path / "merged")).model
    torch.testing.assert_close(again(IDS).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_folders_own_tokenizer_and_template_take_the_bases_place(base):
    folder, _ = adapter(base)
    plain = load_model(config(folder))
    (folder / "chat_template.jinja").write_text("2 {{ messages[0]['content'] }} 3")
    templated = load_model(config(folder))
    messages = [{"role": "user", "content": "1"}]
    assert templated.tokenizer.apply_chat_template(messages, tokenize=False) == "2 1 3"
    assert plain.tokenizer.apply_chat_template(messages, tokenize=False) == "<s> 1 so"
    assert plain.fingerprint != templated.fingerprint
    own = plain.tokenizer
    own.add_tokens(["new"])
    own.save_pretrained(folder)
    loaded = load_adapter(config(folder), folder)
    assert loaded.tokenizer.get_vocab()["new"] == 8
    assert merge_adapter(loaded).tokenizer is loaded.tokenizer


def test_the_fingerprint_covers_how_much_an_adapter_counts(base):
    folder, _ = adapter(base)
    before = load_model(config(folder)).fingerprint
    write(folder, lora_alpha=16)
    assert load_model(config(folder)).fingerprint != before
