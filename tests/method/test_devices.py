"""Training by several real processes against one: the same losses, the same adapter."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reasonmaxxer.config import TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.data import Collator
from reasonmaxxer.method.processes import check_processes
from reasonmaxxer.recipe import RECIPES
from tests.method.test_trainer import rows

ROOT = Path(__file__).parents[2]
METRICS = ("loss", "grad_norm", "kl")


def train(out, batch, launch=()):
    """Two epochs over five sequences in steps of four: in each, one step has a single sequence."""
    command = [sys.executable, *launch, str(Path(__file__).parent / "several.py"), str(out), "5"]
    done = subprocess.run(
        [*command, f"per_device_train_batch_size={batch}", "gradient_accumulation_steps=1",
         "num_train_epochs=2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
             "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "made.json").read_text()), load_file(out / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("alone"), 4)


@pytest.mark.parametrize("spread", [False, True], ids=["whole", "fsdp"])
def test_two_processes_train_what_one_does(spread, alone, tmp_path):
    config = RECIPES / "accelerate" / "fsdp.yaml"
    how = ("--config_file", str(config)) if spread else ("--multi_gpu",)
    launch = ("-m", "accelerate.commands.launch", *how, "--num_processes", "2")
    launch += ("--main_process_port", "0")
    made, adapter = train(tmp_path, 2, launch)
    expected, expected_adapter = alone
    assert made["sharded"] is spread and not expected["sharded"]
    assert len(made["history"]) == len(expected["history"]) == 4
    for own, other in zip(made["history"], expected["history"], strict=True):
        for name in METRICS:
            assert own[name] == pytest.approx(other[name], rel=1e-5, abs=1e-5)
    assert adapter.keys() == expected_adapter.keys()
    for name, weight in expected_adapter.items():
        torch.testing.assert_close(adapter[name], weight, rtol=1e-5, atol=1e-5)


def completions(row):
    """The completions that a row holds, none of an idle one."""
    if not len(row["decision_index"]) + len(row["anchor_index"]):
        return
    ids = iter(row["input_ids"][0].tolist())
    for prompt, *lengths in row["layout"]:
        list(islice(ids, prompt))
        yield from (list(islice(ids, length)) for length in lengths)


def test_processes_share_neighbours_and_have_as_many_rows():
    data = rows(5)
    for count in (1, 2, 3):
        batches = [[Collator(99, process=p, processes=3)(part) for p in range(3)] for part in (data[:count], data)]
        for part, shares in zip((data[:count], data), batches, strict=True):
            assert {share["sequences"] for share in shares} == {len(part)}
            assert len({len(share["rows"]) for share in shares}) == 1
            taken = [ids for share in shares for row in share["rows"] for ids in completions(row)]
            assert taken == [row["completion_ids"] for row in part]
    idle = Collator(99, process=0, processes=2)(data[:1])["rows"][0]
    assert idle["layout"] == [[1, 1]]
    assert all(len(idle[name]) == 0 for name in ("decision_index", "anchor_index"))


@pytest.mark.parametrize(
    ("changes", "rounds", "message"),
    [
        ({"method": "sft"}, 1, "trains in one process, not 3"),
        ({"batch_size": 8}, 1, "batch_size = 8 cannot be shared evenly by 3 processes"),
        ({"batch_size": 9, "micro_batch_size": 9}, 2, "2 rounds train in one process, not 3"),
    ],
)
def test_what_cannot_be_shared_is_refused(changes, rounds, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match=message):
        check_processes(TrainingConfig(**changes), rounds)
    check_processes(TrainingConfig(batch_size=9, micro_batch_size=9), 1)
