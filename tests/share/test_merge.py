"""Merging: the folder is base plus adapter, the check says how far, and a lost adapter is an error."""

import json

import pytest
import torch
from huggingface_hub import constants
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from reasonmaxxer.artifacts import read_json
from reasonmaxxer.cli import app
from reasonmaxxer.config import AdapterConfig, EngineConfig, MeasuredSource, ModelConfig, Recipe, SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.checkpoints import save_adapter
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import load_model
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.vllm_engine import VllmEngine
from reasonmaxxer.share.merge import gap, merge
from reasonmaxxer.share.source import find_source, without_paths
from reasonmaxxer.work.evaluate import _Evaluation
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.workspace import Workspace
from tests.tiny import tiny_folder, tiny_model

ADAPTED = AdapterConfig().target_modules
Q_PROJ = "model.layers.0.self_attn.q_proj"


def adapter_of(folder, out, scale):
    """A saved adapter of rank 4 whose second factor is normal, of this size."""
    base = load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))
    model = add_adapter(base.model, AdapterConfig(rank=4, alpha=8), 0)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale) if scale else torch.nn.init.zeros_(weight)
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_folder(tmp_path_factory.mktemp("model"))


def opinion(logprob, top):
    return torch.tensor(logprob, dtype=torch.float32), torch.tensor(top)


def test_gap_by_hand():
    one = [opinion([-1, -2], [5, 7]), opinion([-3], [2])]
    other = [opinion([-1.5, -2], [5, 5]), opinion([-1], [2])]
    assert gap(one, other) == {
        "max_delta_logprob": 2.0, "mean_delta_logprob": 2.5 / 3, "greedy_agreement": 2 / 3,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_the_merged_folder_is_base_plus_adapter(folder, tmp_path, dtype):
    adapter = adapter_of(folder, tmp_path / "adapter", 0.3)
    found = merge(find_source(str(adapter)), tmp_path / "merged", dtype)
    kept = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    assert found["dtype"] == str(kept).removeprefix("torch.")
    base = load_file(folder / "model.safetensors")
    lora = load_file(adapter / "adapter_model.safetensors")
    down, up = (lora[f"base_model.model.{Q_PROJ}.lora_{part}.weight"].double() for part in "AB")
    expected = (base[f"{Q_PROJ}.weight"].double() + 2 * up @ down).to(kept)
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {kept}
    assert torch.allclose(weights[f"{Q_PROJ}.weight"], expected, rtol=1e-6, atol=1e-6)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    with_adapter = AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
    ids = torch.tensor([[1, 4, 5, 6, 7, 4]])
    one, other = (model(ids).logits.log_softmax(-1) for model in (merged, with_adapter))
    difference = (one - other).abs().max().item()
    largest = found["adapter_to_merged"]["max_delta_logprob"]
    assert difference < (0.5 if dtype == "bfloat16" else 1e-4)
    assert (0.001 < largest < 0.5) if dtype == "bfloat16" else largest < 1e-4
    assert found["base_to_merged"]["mean_delta_logprob"] > 0.1
    assert merged.generation_config.eos_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(folder).chat_template
    assert read_json(tmp_path / "merged" / "merge.json") == found


@pytest.fixture
def two_revisions(tmp_path, monkeypatch):
    """`made/m` in the cache of a hub that cannot be reached: `old`, and a `main` of other weights."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--made--m"
    (cached / "refs").mkdir(parents=True)
    for name, commit in (("main", "a" * 40), ("old", "b" * 40)):
        (cached / "refs" / name).write_text(commit)
        snapshot = tiny_folder(cached / "snapshots" / commit)
    model = tiny_model(vocab=8, seed=5, scale=6.0).to(torch.bfloat16)
    model.save_pretrained(snapshot)
    return snapshot


def test_the_base_is_that_of_the_revision_it_was_trained_at(two_revisions, tmp_path):
    old = load_model(ModelConfig(name="made/m", revision="old", device="cpu", dtype="float32"))
    assert old.fingerprint == "b" * 40
    checkpoint = adapter_of(two_revisions, tmp_path / "checkpoint", 0.3)
    save_adapter(checkpoint, tmp_path / "adapter", old)
    config = read_json(tmp_path / "adapter" / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == ("made/m", "old")
    found = merge(find_source(str(tmp_path / "adapter")), tmp_path / "merged")
    assert (found["base"], found["revision"], found["dtype"]) == ("made/m", "old", "bfloat16")
    base, merged = (load_file(at / "model.safetensors") for at in (two_revisions, tmp_path / "merged"))
    for name, weight in merged.items():
        assert torch.equal(weight, base[name]) == (name.rpartition(".")[0][-6:] not in ADAPTED)


def test_an_adapter_is_measured_on_the_revision_it_was_trained_at(two_revisions, tmp_path):
    old = load_model(ModelConfig(name="made/m", revision="old", device="cpu"))
    folder = tmp_path / "adapter"
    save_adapter(adapter_of(two_revisions, tmp_path / "checkpoint", 0.3), folder, old)
    for values in ({"name": str(folder)}, {"name": "made/m"}):
        adapter = None if values["name"] == str(folder) else str(folder)
        model = ModelConfig(device="cpu", dtype="float32", **values)
        suite = SuiteConfig(model=model, adapter=adapter, problems=(MeasuredSource(),))
        loaded = _Evaluation(suite, Display(), False, {"p": word_problems("test", 2, 0)}).load()
        weight = loaded.model.get_base_model().lm_head.weight
        assert torch.equal(weight, old.model.lm_head.weight.float())
        assert VllmEngine(EngineConfig(), loaded, [2], 4)._arguments()["revision"] == "old"


def test_of_a_run_its_own_answers_are_checked(tiny_run, tmp_path):
    run, _ = tiny_run
    done = CliRunner().invoke(app, ["merge", str(run), "--out", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    found = read_json(tmp_path / "m" / "merge.json")
    answers = read_rollouts(run / "evaluation" / "adapted-greedy")
    assert found["sequences"] == len(answers)
    assert found["tokens"] == sum(len(answer.completion_ids) for answer in answers)
    assert f"{found['adapter_to_merged']['max_delta_logprob']:.3g}" in done.stdout
    summary = without_paths(read_json(run / "summary.json"))
    assert read_json(tmp_path / "m" / "summary.json") == summary
    assert (tmp_path / "m" / "recipe.yaml").is_file()


@pytest.mark.parametrize(
    "scale, dtype, words",
    [
        (0, "auto", "changes nothing: base and adapted model agree on all"),
        (1e-5, "bfloat16", "The merge lost the adapter: in bfloat16"),
    ],
)
def test_an_adapter_that_makes_no_difference_is_an_error(folder, tmp_path, scale, dtype, words):
    adapter = adapter_of(folder, tmp_path / "adapter", scale)
    with pytest.raises(UserError, match=words):
        merge(find_source(str(adapter)), tmp_path / "merged", dtype)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_cannot_be_merged_is_named(folder, tmp_path):
    adapter = adapter_of(folder, tmp_path / "adapter", 0.3)
    with pytest.raises(UserError, match="is there already"):
        merge(find_source(str(adapter)), adapter)
    with pytest.raises(UserError, match=r"'smollm2-teachr' is not there\. Did you mean 'smollm2-teacher'\?"):
        find_source("smollm2-teachr")
    with pytest.raises(UserError, match=r"not a run directory: it has no workspace\.json"):
        find_source(str(tmp_path))
    Workspace(tmp_path / "begun", "run", Recipe())
    with pytest.raises(UserError, match=r"is not finished: it has no summary\.json"):
        find_source(str(tmp_path / "begun"))
    arguments = ["merge", str(adapter), "--out", str(tmp_path / "m"), "--dtype", "int8"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, UserError) and "int8" in str(done.exception)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))
    with pytest.raises(UserError, match="does not fit its base"):
        merge(find_source(str(adapter)), tmp_path / "m")
