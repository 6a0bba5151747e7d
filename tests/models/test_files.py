"""Other people's folders: what is not a model's own whole safetensors is refused by name."""

import json
import pickle
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import load_model
from reasonmaxxer.models.names import files_behind
from tests.tiny import tiny_folder, tiny_model


@pytest.fixture
def folder(tmp_path):
    return tiny_folder(tmp_path / "model")


def load(folder):
    return load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))


def rewrite(folder, change):
    """Write a folder's weights anew, as a function makes them of what they were."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def split(folder, names):
    """Weights in files that an index names, the first half in the first of them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {key: names[2 * n // len(weights)] for n, key in enumerate(weights)}
    for name in names:
        part = {key: weight for key, weight in weights.items() if where[key] == name}
        if name.endswith(".safetensors"):
            save_file(part, folder / name, metadata={"format": "pt"})
        else:
            torch.save(part, folder / name)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "base_model.model."])
def test_names_under_a_wrappers_prefix_are_refused(folder, prefix):
    rewrite(folder, lambda weights: {prefix + key: value for key, value in weights.items()})
    with pytest.raises(UserError, match=f"30 are missing.*30 are unknown.*carry.*'{prefix}'"):
        load(folder)


@pytest.mark.parametrize("part, count", [("lm_head", 1), ("layers.1.", 9)])
def test_a_model_that_lacks_a_part_is_refused(folder, part, count):
    rewrite(folder, lambda weights: {k: v for k, v in weights.items() if part not in k})
    with pytest.raises(UserError, match=rf"{count} are missing \(.*{part}"):
        load(folder)


def test_a_tensor_that_the_model_has_no_place_for_is_refused(folder):
    rewrite(folder, lambda weights: weights | {"v_head.summary.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"1 are unknown to it \(v_head\.summary\.weight\)"):
        load(folder)


def test_a_vocabulary_of_another_size_is_refused(folder):
    rewrite(folder, lambda weights: weights | {"lm_head.weight": torch.zeros(9, 32)})
    with pytest.raises(UserError, match=r"lm_head\.weight \(9, 32\), not \(8, 32\)"):
        load(folder)


@pytest.mark.parametrize("kept", ["model.embed_tokens.weight", "lm_head.weight", "both"])
def test_a_tied_head_may_be_there_or_not(folder, kept):
    tiny_model(vocab=8, tie_word_embeddings=True).save_pretrained(folder)
    shared = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    named = {kept: shared}
    if kept == "both":
        named = {"model.embed_tokens.weight": shared, "lm_head.weight": shared.clone()}
    rewrite(folder, lambda w: {k: v for k, v in w.items() if v.shape != shared.shape} | named)
    model = load(folder).model
    assert torch.equal(model.lm_head.weight, shared)
    assert torch.equal(model.model.embed_tokens.weight, shared)


def test_shards_are_loaded_and_all_of_them_fingerprinted(folder):
    whole = load(folder)
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    split(folder, names)
    loaded = load(folder)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight)
    files = {str(folder / name) for name in names}
    assert files <= set(files_behind(str(folder)))
    save_file(load_file(folder / names[1]), folder / names[1], metadata={"format": "pt", "a": "b"})
    assert load(folder).fingerprint != loaded.fingerprint


@pytest.mark.parametrize("strange", ["part.bin", "../outside.safetensors"])
def test_an_index_names_safetensors_of_its_folder_only(folder, strange):
    split(folder, ["model-00001-of-00002.safetensors", strange])
    with pytest.raises(UserError, match=r"names '.*" + strange.replace(".", r"\.")):
        load(folder)


def test_an_index_of_the_hub_names_safetensors_only(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--made--m"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a" * 40)
    folder = tiny_folder(cached / "snapshots" / ("a" * 40))
    split(folder, ["model-00001-of-00002.safetensors", "part.bin"])
    with pytest.raises(UserError, match=r"names 'part\.bin'"):
        load("made/m")


def test_a_pickle_beside_a_decoy_is_not_loaded(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors\. Weights are loaded from safet"):
        load(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        load(tmp_path)


def test_weights_that_the_config_names_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    values = config | {"transformers_weights": "adapter_model.bin"}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="transformers_weights"):
        load(folder)


def test_a_distributed_checkpoint_is_refused(folder):
    shutil.copy(folder / "model.safetensors", folder / "shard-00000-model-00001-of-00001.safetensors")
    with pytest.raises(UserError, match="distributed checkpoint"):
        load(folder)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "generation_config.json", "config.json"])
def test_the_fingerprint_covers_what_makes_prompts_and_answers(folder, name):
    before = load(folder).fingerprint
    (folder / "README.md").write_text("A model.")
    assert load(folder).fingerprint == before
    (folder / name).write_text((folder / name).read_text() + "\n")
    assert load(folder).fingerprint != before


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": None},
        {"num_hidden_layers": "three"},
        {"num_attention_heads": 3},
        {"hidden_act": "nope"},
        {"model_type": "nope"},
        {"pad_token_id": 900},
    ],
)
def test_a_config_that_makes_no_model_is_a_sentence(folder, values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    with pytest.raises(UserError, match=r"cannot be loaded\."):
        load(folder)


def test_weights_that_are_no_numbers_are_refused(folder):
    rewrite(folder, lambda weights: {key: value * float("nan") for key, value in weights.items()})
    with pytest.raises(UserError, match=r"no numbers.*NaN"):
        load(folder)


def test_a_pointer_of_git_lfs_is_named(folder):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
    (folder / "model.safetensors").write_text(pointer)
    with pytest.raises(UserError, match=r"model\.safetensors is a pointer of Git LFS.*git lfs pull"):
        load(folder)


@pytest.mark.parametrize("end", [0, 5, 400, -1])
def test_truncated_weights_are_named(folder, end):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(UserError, match=r"model\.safetensors is not whole"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("held", [b"null", b"{", b"\xff\xfe", b"[]"])
def test_a_file_that_cannot_be_read_is_a_sentence(folder, name, held):
    (folder / name).write_bytes(held)
    with pytest.raises(UserError, match=str(folder)):
        load(folder)


@pytest.mark.parametrize("method", ["bitsandbytes", "awq", "gptq"])
def test_weights_quantized_by_a_library_that_is_not_there(folder, method):
    config = json.loads((folder / "config.json").read_text())
    packed = {"quant_method": method, "bits": 4, "group_size": 128}
    packed |= {"load_in_4bit": True} if method == "bitsandbytes" else {}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": packed}))
    with pytest.raises(UserError, match=rf"(?i)cannot be loaded.*{method}.*require"):
        load(folder)


def test_weights_that_are_pickled_under_the_right_name(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match=r"model\.safetensors is not whole"):
        load(folder)
