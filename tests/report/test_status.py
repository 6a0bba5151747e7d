"""What `show` says of a run at work, stopped and done."""

import io
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from reasonmaxxer.cost import Meter, StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.history import add_progress
from reasonmaxxer.report.status import print_status, sparkline
from reasonmaxxer.work.folder import read_claim
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.status import read_status
from reasonmaxxer.work.workspace import Workspace
from tests.report.made import make_run


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run", make_run(tmp_path / "run")


DONE = dict.fromkeys(("problems", "rollouts", "signal", "training"), "done")


def states(status):
    """State of every stage that has begun."""
    return {s.stage: s.state for s in status.stages if s.state != "waiting"}


def shown(path):
    text = io.StringIO()
    print_status(read_status(path), Console(file=text, width=100))
    return text.getvalue()


def claimed(path, recipe):
    return Workspace(path, "run", recipe, stages=read_claim(path).stages)


def rewind(path, stage):
    """Put a stage back to the state it was in just before its end."""
    (path / "summary.json").unlink()
    (path / stage).rename(path / f".{stage}.partial")
    (path / f".{stage}.partial" / "stage.json").unlink()


def test_a_finished_run_prints_its_tables(run):
    path, _ = run
    status = read_status(path)
    assert status.state == "done" and states(status)["evaluation"] == "done"
    assert "greedy pass@1" in shown(path) and "Completions so far" not in shown(path)


def test_completions_so_far_are_counted_from_shards(run):
    path, _ = run
    rewind(path, "evaluation")
    shutil.rmtree(path / ".evaluation.partial" / "adapted-sampled")
    status = read_status(path)
    assert status.state == "stopped"
    assert states(status) == {**DONE, "evaluation": "stopped"}
    assert [(s.name, s.done, s.total, s.mixed) for s in status.sampled] == [
        ("rollouts", 16, 16, 2),
        ("evaluation/adapted-greedy", 5, 5, 0),
        ("evaluation/base-greedy", 5, 5, 0),
        ("evaluation/base-sampled", 10, 10, 0),
    ]
    text = shown(path)
    [rollouts] = [line for line in text.splitlines() if "16/16" in line]
    assert [c.strip() for c in rollouts.strip("│ ").split("│")] == [
        "rollouts", "16/16", "44%", "2/4", "0%", "0%",
    ]  # fmt: skip
    assert "stopped; the same `reasonmaxxer run` command goes on" in text


def test_a_process_at_work_is_known_by_its_lock(run):
    path, recipe = run
    rewind(path, "evaluation")
    with claimed(path, recipe).lock():
        status = read_status(path)
        assert (status.state, states(status)["evaluation"]) == ("running", "running")
    assert read_status(path).state == "stopped"  # and looking did not take the lock


def test_a_shard_at_work_counts_what_is_finished_in_it(run):
    path, recipe = run
    shutil.rmtree(path / "training")
    shutil.rmtree(path / "evaluation")
    shutil.rmtree(path / "signal")
    rewind(path, "rollouts")
    directory = claimed(path, recipe)
    partial = directory.partial("rollouts")
    (partial / "shard-00000.parquet").unlink()
    with Meter("rollouts", "cpu", None) as meter:
        work = StageWork(partial, meter, StageCost("rollouts", 1000, 0.0, 60.0, 0.0, 0, None))
        work.expect(partial, 16)
        work._told = float("-inf")  # as if that had been long ago
        work.tell(partial, 12, 3120)
        work.tell(partial, 13, 3200)  # too soon after
    with directory.lock():
        status = read_status(path)
        [rollouts] = status.sampled
        assert (rollouts.finished, rollouts.done, rollouts.total) == (12, 0, 16)
        [stage] = [s for s in status.stages if s.stage == "rollouts"]
        assert stage.tokens == 4120 and 60 <= stage.seconds < 70
        text = shown(path)
        assert "12/16" in text and "4,120" in text
    assert "0/16" in shown(path)  # of a process that was killed nothing of the shard is left


def test_training_shows_its_last_step_and_its_course(run):
    path, _ = run
    shutil.rmtree(path / "evaluation")
    rewind(path, "training")
    gate = path / ".training.partial" / "scratch" / "gate-1"
    gate.mkdir(parents=True)
    for step, loss in ((1, 0.5), (2, 0.25)):
        add_progress(gate, {"step": step, "steps": 40, "loss": loss, "kl": 0.01})
    with (gate / "progress.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # being written
    shutil.copytree(path / "rollouts", gate / "validation-10")
    for number in (10, 2):
        (gate.with_name(f"round-{number}")).mkdir()
    assert list(read_status(path).training) == ["gate 1", "round 2", "round 10"]
    text = shown(path)
    assert "Training, gate 1: step 2 of 40" in text
    assert "+0.2500  █▁" in text
    assert "training/gate-1/validation-10" in text and "evaluation │ waiting" in text


def test_a_run_that_only_began(run):
    path, _ = run
    for stage in ("rollouts", "signal", "training", "evaluation"):
        shutil.rmtree(path / stage)
    rewind(path, "problems")
    assert read_status(path).sampled == []
    assert "problems   │ stopped" in shown(path)


def test_a_folder_that_is_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="not a run directory"):
            read_status(path)


def test_looking_needs_no_torch():
    code = "import sys, reasonmaxxer.work.status, reasonmaxxer.report.status\n"
    code += "print({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_sparkline():
    assert sparkline([0.0, 7.0, 3.0]) == "▁█▄"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([0, 2, 6, 8], width=2) == "▁█"  # means 1 and 7
    assert len(sparkline(list(range(1000)))) == 40
