"""Ray with two workers on this machine: the same completions as without, also where one is killed."""

import os
import signal
import sys
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from reasonmaxxer.config import EngineConfig, ModelConfig, RayConfig, SamplingConfig, SuiteConfig, VllmConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import load_model
from reasonmaxxer.rollouts import ray_engine
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.engines import check_engine, make_engine
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.tiny import tiny_folder

pytest.importorskip("ray", reason="Ray is not installed")

EOS = 2
SAMPLING = SamplingConfig(temperature=1.2, top_p=0.9, max_new_tokens=60)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, loaded):
    """A saved adapter that changes what the model says."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    wrapped = get_peft_model(load_model(loaded.config).model, config)
    folder = tmp_path_factory.mktemp("adapter")
    wrapped.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tiny_folder(tmp_path_factory.mktemp("ray") / "model")
    return load_model(ModelConfig(name=str(folder), device="cpu", dtype="float32"))


def test_what_a_cluster_has_is_seen_there(monkeypatch):
    nowhere = VllmConfig(python="/nowhere/python")
    check_engine(SuiteConfig(engine=EngineConfig(name="vllm", vllm=nowhere, ray=RayConfig(workers=1, address="auto"))))
    with pytest.raises(UserError, match="cannot be run"):
        check_engine(SuiteConfig(engine=EngineConfig(name="vllm", vllm=nowhere, ray=RayConfig(workers=1))))
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^engine\.ray\.workers .*on every machine"):
        check_engine(SuiteConfig(engine=EngineConfig(ray=RayConfig(workers=1))))


def workers():
    """Processes that hold a model, as Ray titles them."""
    children = psutil.Process().children(recursive=True)
    return [p for p in children if any("_Worker" in part for part in p.cmdline())]


def listening():
    """Addresses at which this process and those it started can be reached."""
    here = psutil.Process()
    servers = [c for p in (here, *here.children(True)) for c in p.net_connections()]
    return {c.laddr.ip.removeprefix("::ffff:") for c in servers if c.status == psutil.CONN_LISTEN}


def test_same_completions_as_one_process_though_a_worker_is_killed(loaded, adapter, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    torch.set_num_threads(1)  # as in a worker of one core
    shards = [
        [Request((1, 4 + n % 3, 7, 4 + k % 3), 10 * n + k, adapter if n % 4 == 3 else None) for k in range(6)]
        for n in range(40)
    ]
    base = TransformersEngine(loaded.model, [EOS], 4)
    wrapped = PeftModel.from_pretrained(load_model(loaded.config).model, adapter)
    adapted = TransformersEngine(wrapped, [EOS], 4)
    expected = {n: (adapted if shard[0].adapter else base).generate(shard, SAMPLING) for n, shard in enumerate(shards)}
    bare = [replace(request, adapter=None) for request in shards[3]]
    assert base.generate(bare, SAMPLING) != expected[3], "the adapter must make a difference"

    config = EngineConfig(ray=RayConfig(workers=2))
    killed, seen, made = [], [], {}
    with closing(make_engine(config, loaded, [EOS], 4)) as engine:
        for number, completions in engine.generate_shards(shards, SAMPLING, lambda *told: seen.append(told)):
            made[number] = completions
            if not killed:
                assert listening() and all(ip_address(ip).is_loopback for ip in listening())
                private = Path(engine._folder.name)
                assert private.stat().st_mode & 0o077 == 0 and any(private.rglob("raylet*"))
                killed = workers()[:1]
                os.kill(killed[0].pid, signal.SIGKILL)
        assert len(seen) == len(shards) and sum(done for _, done in seen) == 6 * len(shards)
        assert made == expected
        assert engine.name == "transformers" and engine.settings["batch_size"] == 4
    assert workers() == [] and not private.exists()
