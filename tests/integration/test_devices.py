"""A run in two real processes: killed while it trains, taken up again, and held to one in one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.recipe import dump_config
from reasonmaxxer.work.job import open_job
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.progress import Display
from tests.tiny import tiny_recipe

LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")


def launch(*command):
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [*LAUNCH, "--main_process_port", "0", *map(str, command)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_killed_in_two_processes_it_ends_as_in_one(tmp_path):
    recipe = tiny_recipe(tmp_path, signal={"gate": {"kind": "share", "sweep": [0.3, 0.6]}})
    written, one, two = (tmp_path / name for name in ("recipe.yaml", "one", "two"))
    written.write_text(dump_config(recipe), encoding="utf-8")
    run(recipe, one)

    driver = Path(__file__).parent / "killed.py"
    state = "gate-1/checkpoint-4/trainer_state.json"
    killed = launch(driver, "run", written, two, "open", state)
    assert killed.returncode != 0 and "SIGKILL" in killed.stderr, killed.stderr[-2000:]
    trained = two / ".training.partial" / "scratch"
    assert (trained / "gate-0" / "history.json").exists()
    assert (trained / "gate-1" / "checkpoint-2").is_dir()
    assert not (trained / "gate-1" / "history.json").exists()
    assert not list(trained.glob("gate-0/validation-*"))  # every course comes before any validation

    resumed = launch("-m", "reasonmaxxer", "run", written, "--out", two)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert resumed.stdout.count("Accuracy on 5 test problems") == 1  # the second process is silent

    histories = [read_table(out / "training" / "history.parquet").to_pylist() for out in (one, two)]
    for expected, row in zip(*histories, strict=True):
        known = {name: value for name, value in expected.items() if value is not None}
        assert {name: row[name] for name in known} == pytest.approx(known, rel=1e-5, abs=1e-5)
    weights = [load_file(out / "training/adapter/adapter_model.safetensors") for out in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-5, atol=1e-5)
    summaries = [read_json(out / "summary.json") for out in (one, two)]
    assert summaries[0]["adapted"] == summaries[1]["adapted"]
    assert not list(two.glob(".*.partial"))


@pytest.mark.parametrize(
    ("processes", "engine", "gpus"),
    [
        (1, {}, 1),
        (4, {}, 4),
        (1, {"name": "vllm", "vllm": {"tensor_parallel_size": 2}}, 2),
        (1, {"vllm": {"tensor_parallel_size": 2}}, 1),  # not the engine that samples
        (2, {"ray": {"workers": 5, "gpus": 0.5}}, 3),
    ],
)
def test_a_run_costs_all_gpus_that_it_holds(tmp_path, monkeypatch, processes, engine, gpus):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr("reasonmaxxer.work.job.check_engine", lambda config: None)
    recipe = tiny_recipe(tmp_path, rollouts={"engine": engine}, cost={"price": "h100-80g"})
    job = open_job(recipe, tmp_path / "out", Display(), stages=())
    assert job.workspace.price.count == gpus
    assert job.workspace.price.usd_per_hour == pytest.approx(2.49 * gpus)
    own = tiny_recipe(tmp_path, cost={"usd_per_hour": 5.0})  # of the whole machine
    assert open_job(own, tmp_path / "own", Display(), stages=()).workspace.price.usd_per_hour == 5.0
