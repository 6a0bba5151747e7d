"""Stages of a GPU machine's minutes: each ends in time; what goes wrong is told and ends nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

STAGES = Path(__file__).parents[2] / "benchmarks" / "gpu_stages.sh"


def run(script, folder, **environment):
    """Status, lines of stages.tsv less their head, and log of a script over the shared functions."""
    source = f"set -euo pipefail; source {STAGES}; begin_stages {folder}/out 60\n{script}\nend_stages"
    environment = {k: v for k, v in os.environ.items() if k not in ("QUICK", "ONLY")} | environment
    environment |= {"STORE": str(folder / "store"), "PYTHON": sys.executable}
    done = subprocess.run(["bash", "-c", source], env=environment, capture_output=True, text=True)
    told = (folder / "out" / "stages.tsv").read_text().splitlines()
    log = (folder / "out" / "log.txt").read_text()
    return done, [line.split("\t") for line in told[1:]], log


def test_a_stage_is_cut_at_its_limit_with_all_it_started(tmp_path):
    begun = time.monotonic()
    child = f"(sleep 30; touch {tmp_path}/late) & echo before; sleep 30"
    done, told, log = run(f"stage long 1 bash -c '{child}'\nstage next 5 echo after", tmp_path)
    assert time.monotonic() - begun < 15
    assert [(name, result) for name, result, *_ in told] == [("long", "cut"), ("next", "done")]
    assert "before" in log
    assert "after" in log
    assert done.returncode == 1
    left = subprocess.run(["pgrep", "-f", f"touch {tmp_path}/late"], capture_output=True)
    assert left.returncode == 1  # none


def test_a_failure_is_told_with_its_last_words_and_ends_nothing_else(tmp_path):
    script = "stage bad 5 bash -c 'echo why; exit 3'\nstage good 5 true"
    done, told, _ = run(script, tmp_path)
    assert told == [["bad", "failed (3)", "0", "5"], ["good", "done", "0", "5"]]
    assert "    why\n" in done.stdout
    assert done.returncode == 1


def test_a_stage_whose_limit_is_more_than_is_left_is_left_out(tmp_path):
    script = "stage large 61 touch made\nstage small 50 true\nmodel_stage none needy 5 touch made"
    done, told, _ = run(f"cd {tmp_path}\n{script}", tmp_path)
    assert [line[:2] for line in told] == [
        ["large", "left out: 60 s of 61 left"],
        ["small", "done"],
        ["needy", f"left out: no none in {tmp_path}/store"],
    ]
    assert not (tmp_path / "made").exists()
    assert done.returncode == 0


def test_stages_that_are_not_asked_for_are_passed_over(tmp_path):
    script = "stage 'recipe one' 5 true\nstage 'recipe two' 5 true\nstage machine 5 false"
    done, told, _ = run(script, tmp_path, ONLY="two|three")
    assert [line[:2] for line in told] == [["recipe two", "done"]]
    assert done.returncode == 0


def test_without_a_sandbox_rollouts_are_sampled_and_not_graded(tmp_path):
    """Python is a script here, which finds no sandbox and tells what it is asked."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\ncase \"$*\" in\n*SystemExit*) echo 'no bwrap is installed' >&2; exit 1 ;;\n"
        '*gpu_sizes*) echo problems.train.limit=7 ;;\n*gpu_figures*) ;;\n*) echo "asked: $*" ;;\nesac\n'
    )
    python.chmod(0o755)
    (tmp_path / "store" / "models" / "qwen2.5-coder-0.5b").mkdir(parents=True)
    done, told, log = run(f"python={python}\nmbpp 20", tmp_path)
    assert [line[:2] for line in told] == [
        ["recipe mbpp", "left out: no sandbox: no bwrap is installed"],
        ["rollouts mbpp, ungraded", "done"],
    ]
    first, second = [line for line in log.splitlines() if line.startswith("asked:")]
    assert "run mbpp model.name=qwen2.5-coder-0.5b problems.train.limit=7 verify.function=" in first
    assert second.endswith(f"--out {tmp_path}/out/mbpp-rollouts.jsonl")
    assert done.returncode == 0
