"""What becomes of the figures of a GPU machine's minutes: lines, a table, and how much of a run fits."""

import json

import gpu_figures
from gpu_sizes import online, sizes

from reasonmaxxer.recipe import load_recipe


def decoding(arm, rate, peak, **more):
    of = {"benchmark": "rollouts-256", "model": "models/some-0.5b", "arm": arm}
    return {**of, "tokens_per_second": rate, "peak_bytes": peak * 2**30, **more}


def test_table_of_an_arm_cut_short_and_of_a_whole_benchmark():
    first = [decoding("ours", 20_000, 2), decoding("ours", 40_000, 3), decoding("ours", 24_000, 2)]
    table = gpu_figures.table(first)
    assert "| decoding, some-0.5b, 256 rows | 30,000 tokens/s | 2.4e+04 tokens/s |" in table
    assert "times the generate arm" not in table
    both = gpu_figures.table([*first, decoding("generate", 6_000, 4)])
    assert "| - times the generate arm | 8 | 4 |" in both
    assert "| - peak memory, ours and theirs |  | 2.00 against 4.00 GiB |" in both


def test_graphs_are_a_benchmark_of_their_own():
    lines = [decoding("ours", 1_000, 2), decoding("ours", 9_000, 2)]
    lines[1]["benchmark"] = "rollouts-graphs-256"
    assert gpu_figures.medians(lines, "rollouts-256", "tokens_per_second") == {"ours": 1_000}
    table = gpu_figures.table(lines)
    assert "| decoding, some-0.5b, CUDA graphs, 256 rows | 30,000 tokens/s | 9,000 tokens/s |" in table


def test_checks_in_float32_are_no_timings():
    line = {"benchmark": "training-850", "model": "m", "arm": "ours", "step_seconds": 9.0}
    lines = [{**line, "check": "float32"}, {**line, "step_seconds": 1.0}]
    assert gpu_figures.medians(lines, "training", "step_seconds") == {"ours": 1.0}


def test_a_run_that_was_cut_leaves_its_finished_stages(tmp_path):
    out, run = tmp_path / "out", tmp_path / "run"
    out.mkdir()
    (run / "rollouts").mkdir(parents=True)
    (run / "rollouts" / "stage.json").write_text('{"counts": 7}')
    (run / "report.html").write_text("<html>")
    gpu_figures.keep(out, "gsm8k", run)
    (line,) = (out / gpu_figures.LINES).read_text().splitlines()
    assert json.loads(line) == {"name": "gsm8k", "whole": False, "found": {"rollouts": {"counts": 7}}}
    assert (out / "gsm8k.html").read_text() == "<html>"
    assert gpu_figures.table([json.loads(line)]).count("\n") == 1  # the head alone


def test_the_whole_run_fits_a_fast_machine_and_a_share_a_slow_one():
    recipe = load_recipe("default", ("signal.gate.sweep=[0.5, 1]", "training.checkpoints=2"))
    assert sizes(recipe, 1e-4, 1e-3, 200)["problems.test.limit"] == 1319
    # two gates of two checkpoints: 3,000 + 4 * 50 + 2,638 completions of 0.1 s and 250 steps of
    # 0.4 s are 683.8 s; of 200 s 155 are left, a share of 0.2267
    sized = sizes(recipe, 0.1, 0.4, 200)
    assert [sized[f"problems.{name}.limit"] for name in ("train", "validation", "test")] == [34, 11, 298]
    assert sized["signal.problems"] == 11


def test_test_problems_are_those_of_the_recipes_benchmark():
    recipe = load_recipe("mbpp", ("signal.gate.sweep=[]",))
    # 3,000 + 2 * 50 + 2 * 500 completions of 0.05 s and 125 steps of 0.36 s are 250 s; 45 more to start
    assert sizes(recipe, 0.05, 0.36, 295)["problems.test.limit"] == 500
    assert sizes(recipe, 0.05, 0.36, 170)["problems.test.limit"] == 250


def test_steps_of_grpo_fit_beside_its_evaluation():
    limits = ("problems.test.limit=100", "problems.validation.limit=25")
    recipe = load_recipe("default", (*limits, "rollouts.rollouts_per_problem=20"))
    # 2 * 100 + 4 * 25 completions of 0.1 s: 30 s; a step of 80 sequences, 8 s and 2 * 10 * 0.4 s
    found = online(recipe, 0.1, 0.4, 45 + 30 + 16 * 7.5)
    assert found["training.baseline.steps"] == 7
    assert found["training.batch_size"] == 80
