"""Trackers: refused early, and their numbers those of the history."""

import json
import os
import sqlite3
import struct
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.trackers import check_trackers
from reasonmaxxer.recipe import dump_config
from reasonmaxxer.work.main_job import run
from tests.tiny import tiny_recipe

METRICS = (
    "loss", "grad_norm", "learning_rate", "kl", "delta_logprob_positive", "delta_logprob_negative",
)  # fmt: skip


def two_gates(folder, tracker):
    return tiny_recipe(
        folder,
        training={"batch_size": 4, "micro_batch_size": 4, "checkpoints": 2, "warmup_steps": 1,
                  "adapter": {"rank": 4, "alpha": 8}, "report_to": [tracker]},
        signal={"problems": 4, "gate": {"kind": "share", "sweep": [0.5, 1.0]}},
    )  # fmt: skip


def test_tensorboard_shows_the_history_of_every_gate(tmp_path):
    out = tmp_path / "out"
    run(two_gates(tmp_path, "tensorboard"), out)
    rows = read_table(out / "training" / "history.parquet").to_pylist()
    for gate in (0, 1):
        events = EventAccumulator(str(out / "tensorboard" / f"gate-{gate}"))
        events.Reload()
        history = [row for row in rows if row["gate"] == gate]
        assert len(history) > 1
        for name in METRICS:
            expected = [(r["step"], r[name]) for r in history if r[name] is not None]
            written = events.Scalars(f"train/{name}")
            assert [(e.step, e.value) for e in written] == [
                (step, pytest.approx(value, rel=1e-6)) for step, value in expected
            ]


def test_an_unknown_tracker_is_refused_before_the_run_begins(tmp_path):
    recipe = tiny_recipe(tmp_path, training={"report_to": ["tensorbord"]})
    with pytest.raises(UserError, match=r"'tensorbord' is no tracker.*tensorboard"):
        run(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch):
    check_trackers(("tensorboard",))
    with pytest.raises(UserError, match="'swanlab' is not installed"):
        check_trackers(("swanlab",))
    names = "reasonmaxxer.method.trackers.get_available_reporting_integrations"
    monkeypatch.setattr(names, list)
    for name in ("tensorboard", "trackio", "wandb"):
        with pytest.raises(UserError, match=rf"pip install 'reasonmaxxer\[{name}\]'"):
            check_trackers((name,))


# W&B and Trackio enter no extra that the tests install: these run where they are.


def run_apart(folder, tracker, **environment):
    """The run in a process of its own: both trackers read their settings once."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(dump_config(two_gates(folder, tracker)), encoding="utf-8")
    command = [sys.executable, "-m", "reasonmaxxer", "run", str(recipe), "--out"]
    return subprocess.run(
        [*command, str(folder / "out")],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **environment},
    )


def check_history(out, logged):
    """What a tracker logged, name of its run and values at a time, is the history."""
    written = {}
    for name, values in logged:
        if "train/global_step" in values:
            written.setdefault((name, values["train/global_step"]), {}).update(values)
    rows = read_table(out / "training" / "history.parquet").to_pylist()
    assert {row["gate"] for row in rows} == {0, 1}
    for row in rows:
        said = written[f"out-gate-{row['gate']}", row["step"]]
        for name in METRICS:
            if row[name] is not None:
                assert said[f"train/{name}"] == pytest.approx(row[name], rel=1e-6)


def test_trackio_shows_the_history_of_every_gate(tmp_path):
    pytest.importorskip("trackio")
    done = run_apart(tmp_path, "trackio")
    assert done.returncode == 0, done.stderr
    base = sqlite3.connect(tmp_path / "out" / "trackio" / "reasonmaxxer.db")
    rows = [(n, json.loads(m)) for n, m in base.execute("select run_name, metrics from metrics")]
    check_history(tmp_path / "out", rows)


def test_wandb_shows_the_history_of_every_gate_without_an_account(tmp_path):
    pytest.importorskip("wandb")
    done = run_apart(tmp_path, "wandb", WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    files = list((tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2 and not (tmp_path / "wandb").exists()
    check_history(tmp_path / "out", (pair for file in files for pair in wandb_history(file)))


def test_wandb_asks_for_a_login_before_the_run_begins(tmp_path):
    pytest.importorskip("wandb")
    done = run_apart(tmp_path, "wandb", WANDB_API_KEY="", WANDB_MODE="online")
    assert done.returncode == 2 and "would ask for a login" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def wandb_history(file):
    """Name of the run and the values of each step of a .wandb file, a log in the form of LevelDB's."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts, name = file.read_bytes(), 7, b"", ""
    while place + 7 <= len(data):
        if place % 32768 > 32768 - 7:  # what is left of a block is empty
            place += 32768 - place % 32768
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind not in (1, 4):  # goes on in the next block
            continue
        record, parts = Record.FromString(parts), b""
        name = record.run.display_name or name
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            yield name, {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
