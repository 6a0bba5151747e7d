"""vLLM, where an interpreter that has it is named; what happens where it cannot be had, everywhere.

REASONMAXXER_VLLM_PYTHON=vllm/bin/python python -m pytest tests/rollouts/test_vllm_engine.py
"""

import os
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import (
    AdapterConfig,
    EngineConfig,
    ModelConfig,
    Recipe,
    RolloutsConfig,
    SamplingConfig,
    SuiteConfig,
    VllmConfig,
)
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import eos_ids, load_model
from reasonmaxxer.models.teachers import teachers
from reasonmaxxer.problems import render_prompt
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.engines import check_engine, make_engine
from reasonmaxxer.rollouts.stop import StopStrings
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.rollouts.vllm_engine import VllmEngine, _cut, _rank
from tests.tiny import tiny_folder, tiny_model

PYTHON = os.environ.get("REASONMAXXER_VLLM_PYTHON")
GREEDY = SamplingConfig(temperature=0, top_p=1, max_new_tokens=48)
TEACHER = str(teachers()["smollm2-teacher"])

absent = pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
real = pytest.mark.skipif(not PYTHON, reason="REASONMAXXER_VLLM_PYTHON names no interpreter")


@absent
@pytest.mark.parametrize(
    "key, holding",
    [
        ("engine", lambda engine: SuiteConfig(engine=engine)),
        ("rollouts.engine", lambda engine: Recipe(rollouts=RolloutsConfig(engine=engine))),
    ],
)
def test_refused_before_long_work_where_it_is_not_installed(tmp_path, key, holding):
    with pytest.raises(UserError, match=rf"^{key}\.name = .*does not find vLLM.* {key}\.vllm\.python"):
        check_engine(holding(EngineConfig(name="vllm")))
    missing = EngineConfig(name="vllm", vllm=VllmConfig(python=str(tmp_path / "python")))
    with pytest.raises(UserError, match=rf"^{key}\.vllm\.python = .*cannot be run: No such file"):
        check_engine(holding(missing))


@absent
def test_a_process_that_dies_says_why_and_leaves_nothing_behind(tmp_path):
    loaded = load_model(ModelConfig(name=str(tiny_folder(tmp_path / "model")), device="cpu"))
    engine = make_engine(EngineConfig(name="vllm"), loaded, [2])
    with pytest.raises(UserError) as error:
        engine.generate([Request((1, 4), 0)], GREEDY)
    assert "ended with status 1" in str(error.value)
    assert "No module named 'vllm'" in str(error.value)
    assert sys.executable in str(error.value)
    assert engine.generate([], GREEDY) == []


def test_weights_that_are_nowhere_on_disk_are_saved_for_as_long_as_they_are_needed(tmp_path):
    loaded = load_model(ModelConfig(name="smollm2-teacher", device="cpu", dtype="float32"))
    assert loaded.path is None
    engine = VllmEngine(EngineConfig(), loaded, [2], 4)
    folder = Path(engine._arguments()["model"])
    saved = load_file(folder / "model.safetensors")
    name = "model.layers.3.self_attn.q_proj.weight"
    torch.testing.assert_close(saved[name], loaded.model.state_dict()[name], rtol=0, atol=0)
    base = load_model(ModelConfig(device="cpu", dtype="float32"))
    assert not torch.equal(saved[name], base.model.state_dict()[name])
    engine.close()
    assert not folder.exists()
    assert VllmEngine(EngineConfig(), base, [2], 4)._arguments()["model"] == base.path


def test_of_a_model_that_carries_an_adapter_the_weights_below_it_are_saved(tmp_path):
    tiny_folder(tmp_path / "model")
    base = load_model(ModelConfig(name=str(tmp_path / "model"), device="cpu", dtype="float32"))
    first = add_adapter(base.model, AdapterConfig(rank=4, alpha=8), 0)
    for name, weight in first.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight.data)
    first.save_pretrained(tmp_path / "first")
    merged = load_model(ModelConfig(name=str(tmp_path / "first"), device="cpu", dtype="float32"))
    expected = {name: weight.clone() for name, weight in merged.model.state_dict().items()}
    merged.model = add_adapter(merged.model, AdapterConfig(rank=4, alpha=8), 0)
    engine = VllmEngine(EngineConfig(), merged, [2], 4)
    saved = AutoModelForCausalLM.from_pretrained(engine._arguments()["model"]).state_dict()
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], weight) for name, weight in expected.items())
    assert not torch.equal(
        saved["model.layers.0.self_attn.q_proj.weight"],
        load_file(tmp_path / "model" / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"],
    )
    engine.close()


@pytest.mark.parametrize(
    ("config", "ready"),
    [({"r": 4}, 8), ({"r": 8}, 8), ({"r": 9, "rank_pattern": {"q_proj": 33}}, 64), ({"r": 32}, 32)],
)
def test_rank_that_vllm_is_made_ready_for(tmp_path, config, ready):
    write_json(config, tmp_path / "adapter_config.json")
    assert _rank(str(tmp_path)) == ready


def test_an_adapter_that_the_model_in_memory_lacks_is_no_silent_base():
    engine = TransformersEngine(tiny_model(), [2])
    with pytest.raises(ValueError, match="carries none"):
        engine.generate([Request((1, 4), 0, "adapter")], GREEDY)


@pytest.fixture(scope="module")
def base():
    return load_model(ModelConfig(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def vllm(base):
    config = EngineConfig(name="vllm", vllm=VllmConfig(python=PYTHON, enforce_eager=True))
    with closing(make_engine(config, base, eos_ids(base.model, base.tokenizer), 16)) as engine:
        yield engine


@pytest.fixture(scope="module")
def prompts(base):
    problems = word_problems("test", 4, 0)
    return [tuple(render_prompt("chat_template", p.text, base.tokenizer)) for p in problems]


@real
def test_base_and_adapter_by_request_answer_as_under_transformers(base, vllm, prompts):
    ends = eos_ids(base.model, base.tokenizer)
    adapted = vllm.generate([Request(p, 0, TEACHER) for p in prompts], GREEDY)
    plain = vllm.generate([Request(p, 0) for p in prompts], GREEDY)
    asked = [Request(p, 0) for p in prompts]
    ours = TransformersEngine(base.model, ends).generate(asked, GREEDY)
    wrapped = PeftModel.from_pretrained(base.model, TEACHER)
    theirs = TransformersEngine(wrapped, ends).generate(asked, GREEDY)
    base.model = wrapped.unload()
    for made, expected in ((plain, ours), (adapted, theirs)):
        assert [c.ids for c in made] == [c.ids for c in expected]
        assert [c.finish_reason for c in made] == [c.finish_reason for c in expected]
    assert [c.ids for c in adapted] != [c.ids for c in plain]
    assert any(c.ids[-1] in ends for c in plain), "the token that ends a completion is kept"
    assert all(c.entropy is None and c.logprob is None for c in plain)
    assert vllm.version.startswith("0.")


@real
def test_the_same_shard_gives_the_same_tokens_whatever_came_before(vllm, prompts):
    sampling = SamplingConfig(temperature=1.0, top_p=0.95, max_new_tokens=12)
    shard = [Request(p, 2**62 + k) for p in prompts[:2] for k in range(3)]
    first = vllm.generate(shard, sampling)
    vllm.generate([Request(p, k) for k, p in enumerate(prompts)], sampling)
    assert vllm.generate(shard, sampling) == first
    assert len({tuple(c.ids) for c in first}) > 3, "seeds must differ in what they draw"


@pytest.mark.parametrize(("kept", "reason"), [(2, "stop"), (None, "length")])
def test_a_stop_string_cuts_what_was_sampled_behind_it(base, kept, reason):
    ids = base.tokenizer("one two three four", add_special_tokens=False)["input_ids"]
    strings = ["e two"] if kept else ["five"]
    made = _cut(ids, "length", StopStrings(strings, base.tokenizer))
    assert (made.ids, made.finish_reason) == (ids[:kept], reason)


@real
def test_stop_strings_end_completions_where_they_end_under_transformers(base, vllm, prompts):
    ends, greedy = (eos_ids(base.model, base.tokenizer), GREEDY.model_copy(update={"stop": (".", " is")}))
    asked = [Request(p, 0) for p in prompts]
    expected = TransformersEngine(base.model, ends, tokenizer=base.tokenizer).generate(asked, greedy)
    made = vllm.generate(asked, greedy)
    assert [(c.ids, c.finish_reason) for c in made] == [(c.ids, c.finish_reason) for c in expected]
    assert any(c.ids[-1] not in ends and c.finish_reason == "stop" for c in made)


@real
def test_no_process_is_left(vllm, prompts):
    vllm.generate([Request(prompts[0], 0)], GREEDY)
    pid = vllm._child.pid
    vllm.close()
    assert not Path(f"/proc/{pid}").exists()
