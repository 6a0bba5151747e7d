"""The main job from end to end on a tiny model: its files, its figures, its resume, its errors."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from rich.console import Console
from transformers import AutoModelForCausalLM

from reasonmaxxer.artifacts import file_hash, read_json, read_table
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.recipe import dump_config, parse_config
from reasonmaxxer.report.results import read_results
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work import stages
from reasonmaxxer.work.folder import open_run
from reasonmaxxer.work.job import open_job
from reasonmaxxer.work.main_job import run
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.stage_work import StageWork
from tests.tiny import tiny_recipe

STAGES = ["problems", "rollouts", "signal", "training", "evaluation", "inspection"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return tiny_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    return out, run(recipe, out)


def artifacts(out):
    """Hash of every table and weight file of a run."""
    files = [p for p in out.rglob("*") if p.suffix in {".parquet", ".safetensors"}]
    configs = [out / "training" / "adapter" / "adapter_config.json"]
    return {str(p.relative_to(out)): file_hash(p) for p in sorted(files + configs)}


def test_summary_is_what_the_tables_say(unbroken, recipe):
    out, summary = unbroken
    assert summary == read_json(out / "summary.json")
    assert summary["schema"] == 1
    base = read_rollouts(out / "evaluation" / "base-greedy")
    adapted = read_rollouts(out / "evaluation" / "adapted-greedy")
    assert [r.problem_id for r in base] == [r.problem_id for r in adapted]
    for arm, rollouts in (("base", base), ("adapted", adapted)):
        greedy = summary[arm]["greedy"]["pass@1"]
        assert greedy["value"] == pytest.approx(np.mean([r.outcome == "correct" for r in rollouts]))
        assert greedy["low"] <= greedy["value"] <= greedy["high"] and greedy["n"] == 5
        sampled = read_rollouts(out / "evaluation" / f"{arm}-sampled")
        by_problem = {}
        for r in sampled:
            by_problem.setdefault(r.problem_id, []).append(r.outcome == "correct")
        assert [len(v) for v in by_problem.values()] == [2] * 5
        assert summary[arm]["sampled"]["pass@2"]["value"] == pytest.approx(
            np.mean([any(v) for v in by_problem.values()])
        )
        assert summary[arm]["sampled"]["pass@1"]["value"] == pytest.approx(
            np.mean([r.outcome == "correct" for r in sampled])
        )
    difference = summary["difference"]["greedy"]
    pairs = [(b.outcome == "correct", a.outcome == "correct") for b, a in zip(base, adapted, strict=True)]
    assert difference["gained"] == sum(a and not b for b, a in pairs)
    assert difference["lost"] == sum(b and not a for b, a in pairs)
    assert difference["value"] == pytest.approx((difference["gained"] - difference["lost"]) / 5)
    assert len(difference["gained_problems"]) == difference["gained"]


def test_summary_keeps_the_contract(unbroken):
    _, summary = unbroken
    assert set(summary["difference"]["greedy"]) >= {
        "value", "low", "high", "gained", "lost", "p_value",
    }  # fmt: skip
    assert set(summary["rollouts"]) == {
        "problems", "rollouts", "tokens", "truncated_share", "mean_pass_rate", "mixed_share",
        "outcomes",
    }  # fmt: skip
    assert summary["rollouts"]["problems"] == 6
    assert summary["rollouts"]["rollouts"] == 36
    assert sum(summary["rollouts"]["outcomes"].values()) == 36
    assert set(summary["selection"]) >= {"problems", "sequences"}
    assert set(summary["gate"]) >= {"kind", "tau", "decision_share"}
    training = summary["training"]
    assert set(training) >= {"steps", "sequences", "tokens", "seconds", "checkpoint"}
    assert [stage["stage"] for stage in summary["cost"]["stages"]] == STAGES
    for stage in summary["cost"]["stages"]:
        assert set(stage) >= {"stage", "tokens", "flops", "seconds", "peak_memory_bytes", "usd"}
    total = summary["cost"]["total"]
    for name in ("tokens", "flops", "seconds", "usd"):
        assert total[name] == pytest.approx(sum(s[name] for s in summary["cost"]["stages"]))
    assert summary["environment"]["versions"]["torch"] == torch.__version__
    assert summary["environment"]["seed"] == 0


def test_ledger_counts_the_tokens_of_the_tables(unbroken):
    out, summary = unbroken
    costs = {stage["stage"]: stage for stage in summary["cost"]["stages"]}
    made = sum(len(r.completion_ids) for r in read_rollouts(out / "rollouts"))
    assert costs["rollouts"]["tokens"] == summary["rollouts"]["tokens"] == made
    folders = [p for p in (out / "evaluation").iterdir() if p.is_dir()]
    evaluated = sum(len(r.completion_ids) for folder in folders for r in read_rollouts(folder))
    assert costs["evaluation"]["tokens"] == evaluated
    examples = read_table(out / "signal" / "examples.parquet").to_pylist()
    trained = sum(len(e["prompt_ids"]) + len(e["completion_ids"]) for e in examples)
    assert costs["training"]["tokens"] >= trained  # and the validation completions
    assert summary["training"]["tokens"] == trained


def test_inspection_shows_what_was_trained_on_and_evaluated(unbroken, recipe):
    out, summary = unbroken
    rows = read_table(out / "inspection" / "tokens.parquet").to_pylist()
    examples = {
        (e["problem_id"], e["rollout"]): e for e in read_table(out / "signal" / "examples.parquet").to_pylist()
    }
    train = [row for row in rows if row["split"] == "train"]
    assert {(r["problem_id"], r["rollout"]) for r in train} == set(examples)
    gate = Gate(**summary["gate"])
    for row in train:
        example = examples[row["problem_id"], row["rollout"]]
        assert row["advantage"] == example["advantage"]
        key = f"{row['problem_id']}#{row['rollout']}"
        assert row["decision"] == gate.decisions(example["entropy"], key).tolist()
        np.testing.assert_allclose(row["base_entropy"], example["entropy"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(row["base_logprob"], example["logprob"], rtol=1e-4, atol=1e-4)
    for arm, column in (("base", "base"), ("adapted", "tuned")):  # what it recorded while it sampled
        made = {r.problem_id: r for r in read_rollouts(out / "evaluation" / f"{arm}-greedy")}
        mine = [r for r in rows if r["split"] == "test" and r["arm"] == arm]
        assert {r["problem_id"] for r in mine} == set(made)
        for row in mine:
            assert row[f"{column}_rank"] == [1] * len(row["ids"])
            logprob = made[row["problem_id"]].logprob
            np.testing.assert_allclose(row[f"{column}_logprob"], logprob, rtol=1e-4, atol=1e-4)
    vocabulary = read_table(out / "inspection" / "vocabulary.parquet").to_pylist()
    assert {v["id"] for v in vocabulary} >= {id for row in rows for id in row["ids"]}
    assert len(viewer_data(out)["rollouts"]) == len(rows)


def test_stage_records_name_what_they_read(unbroken, recipe):
    out, _ = unbroken
    records = {stage: read_json(out / stage / "stage.json") for stage in STAGES}
    assert records["signal"]["inputs"] == {"rollouts": records["rollouts"]["artifacts"]}
    assert records["evaluation"]["inputs"]["training"] == records["training"]["artifacts"]
    assert all(record["config_hash"] == recipe.hash() for record in records.values())


def test_adapter_loads_with_peft_and_is_the_one_that_was_evaluated(unbroken, recipe):
    out, _ = unbroken
    base = AutoModelForCausalLM.from_pretrained(recipe.model.name, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, out / "training" / "adapter").eval()
    for rollout in read_rollouts(out / "evaluation" / "adapted-greedy"):
        ids = torch.tensor([rollout.prompt_ids])
        with torch.inference_mode():
            made = model.generate(input_ids=ids, do_sample=False, max_new_tokens=5, pad_token_id=0)
        assert made[0, ids.shape[1] :].tolist() == rollout.completion_ids


def test_same_seed_same_bytes_other_seed_other_bytes(unbroken, recipe, tmp_path):
    out, _ = unbroken
    run(recipe, tmp_path / "again")
    assert artifacts(tmp_path / "again") == artifacts(out)
    other = parse_config(Recipe, {**recipe.model_dump(mode="json"), "seed": 1})
    run(other, tmp_path / "other")
    there = artifacts(tmp_path / "other")
    for name in ("rollouts/shard-00000.parquet", "training/adapter/adapter_model.safetensors"):
        assert there[name] != artifacts(out)[name]


KILLS = [
    ("os.rename", "/problems"),
    ("os.rename", ".rollouts.partial/cost.json"),
    ("os.rename", ".rollouts.partial/shard-00001.parquet"),
    ("os.rename", "/rollouts"),
    ("open", ".signal.partial/.examples.parquet.tmp"),
    ("os.rename", ".training.partial/cost.json"),
    ("open", "checkpoint-4/trainer_state.json"),
    ("os.rename", "checkpoint-4/cost.json"),
    ("os.rename", "validation-4/shard-00000.parquet"),
    ("os.remove", "trainer_state.json"),
    ("os.rename", "/training"),
    ("os.rename", "adapted-greedy/shard-00000.parquet"),
    ("open", ".inspection.partial/.vocabulary.parquet.tmp"),
    ("os.rename", "summary.json"),
]


def ledger(summary):
    """What does not depend on the clock; FLOPs but for the order in which they are added."""
    return [(s["stage"], s["tokens"], f"{s['flops']:.12e}") for s in summary["cost"]["stages"]]


def test_killed_in_every_stage_it_ends_the_same(unbroken, recipe, tmp_path):
    out, summary = unbroken
    recipe_file, broken = tmp_path / "recipe.yaml", tmp_path / "broken"
    recipe_file.write_text(dump_config(recipe), encoding="utf-8")
    driver = Path(__file__).parent / "killed.py"
    for event, ending in KILLS:
        command = [sys.executable, str(driver), "run", str(recipe_file), str(broken), event, ending]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, (event, ending, done.stderr)
        assert not (broken / "summary.json").exists()
    resumed = run(recipe, broken)
    assert artifacts(broken) == artifacts(out)
    assert ledger(resumed) == ledger(summary)
    apart = {"cost", "training", "environment"}
    assert {k: v for k, v in resumed.items() if k not in apart} == {k: v for k, v in summary.items() if k not in apart}
    assert not list(broken.glob(".*.partial"))


def test_finished_run_is_not_run_again(unbroken, recipe):
    out, summary = unbroken
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    assert run(recipe, out) == summary
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name != ".lock"} == {
        p: t for p, t in before.items() if p.name != ".lock"
    }


def test_shards_are_as_long_as_when_the_run_began(unbroken, recipe, tmp_path):
    out, summary = unbroken
    values = recipe.model_dump(mode="json")
    values["rollouts"]["rollouts_per_shard"] = None
    assert run(parse_config(Recipe, values), out) == summary  # of shards of 18
    with pytest.raises(UserError, match="seed is 0 there and 7 here"):
        run(parse_config(Recipe, {**values, "seed": 7}), out)
    values["seed"] = 7
    for temperature, length in ((1.0, 18), (0.5, 512)):  # reused, or as so small a model asks for
        values["rollouts"]["temperature"] = temperature
        folder = tmp_path / str(length)
        open_job(parse_config(Recipe, values), folder, Display(), stages=(), reuse=out)
        assert open_run(folder)["rollouts"]["rollouts_per_shard"] == length


def test_a_finished_run_that_lost_a_shard_is_refused_and_mended(unbroken, recipe, tmp_path):
    out, summary = unbroken
    there = shutil.copytree(out, tmp_path / "there")
    (there / "rollouts" / "shard-00001.parquet").unlink()
    for look in (lambda: run(recipe, there), lambda: read_results(there)):
        with pytest.raises(UserError, match=r"shard-00001.parquet is missing. Delete .*/rollouts "):
            look()
    shutil.rmtree(there / "rollouts")
    assert run(recipe, there)["selection"] == summary["selection"]
    assert artifacts(there) == artifacts(out) and (there / "report.html").is_file()


def test_a_shard_cut_short_is_refused_and_made_again(unbroken, recipe, tmp_path):
    out, _ = unbroken
    there = tmp_path / "there"
    shutil.copytree(out / "problems", there / "problems")
    shutil.copytree(out / "rollouts", there / ".rollouts.partial")
    (there / ".rollouts.partial" / "stage.json").unlink()
    for name in ("recipe.yaml", "workspace.json"):
        shutil.copyfile(out / name, there / name)
    shard = there / ".rollouts.partial" / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"shard-00000.parquet is damaged .* Delete it"):
        run(recipe, there)
    shard.unlink()
    run(recipe, there)
    assert artifacts(there) == artifacts(out)


def test_a_report_that_is_missing_is_drawn_again_the_same(unbroken, recipe):
    out, _ = unbroken
    page = out / "report.html"
    drawn = page.read_bytes()
    assert b"of 5 test problems" in drawn
    page.unlink()
    run(recipe, out)
    assert page.read_bytes() == drawn


def test_folder_of_another_recipe_is_refused(unbroken, recipe):
    out, _ = unbroken
    other = parse_config(Recipe, {**recipe.model_dump(mode="json"), "seed": 7})
    with pytest.raises(UserError, match=r"seed is 0 there and 7 here.*--out"):
        run(other, out)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("problems", {"test": {"source": "none.jsonl"}}),
        ("verify", {"function": "none.py:grade"}),
        ("rollouts", {"imported": "none.jsonl"}),
    ],
)
def test_what_cannot_be_read_leaves_the_folder_to_the_corrected_command(tmp_path, section, fault):
    recipe = tiny_recipe(tmp_path, **{section: fault})
    with pytest.raises(UserError, match="there is no file none"):
        run(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_that_is_no_run_is_refused_and_left_alone(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="was not made by"):
        run(recipe, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_sweep_trains_one_adapter_a_gate_and_validation_chooses(tmp_path):
    signal_config = {"problems": 4, "gate": {"kind": "share", "sweep": [0.25, 1.0]}}
    summary = run(tiny_recipe(tmp_path, signal=signal_config), tmp_path / "out")
    tried = read_table(tmp_path / "out" / "training" / "validation.parquet").to_pylist()
    accuracy = {}
    for row in tried:
        accuracy.setdefault((row["gate"], row["step"]), []).append(row["correct"])
    assert {gate for gate, _ in accuracy} == {0, 1}
    assert all(len(values) == 4 for values in accuracy.values())
    best = max(np.mean(values) for values in accuracy.values())
    assert summary["training"]["validation_accuracy"] == pytest.approx(best)
    history = read_table(tmp_path / "out" / "training" / "history.parquet").to_pylist()
    assert {row["gate"] for row in history} == {0, 1}
    assert summary["gate"]["decision_share"] in (pytest.approx(0.25, abs=0.1), 1.0)  # ties
    assert "the other gates" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_imported_rollouts_teach_like_sampled_ones(unbroken, recipe, tmp_path):
    out, summary = unbroken
    lines = [
        json.dumps({k: asdict(r)[k] for k in ("problem_id", "prompt_ids", "completion_ids")})
        for r in read_rollouts(out / "rollouts")
    ]
    (tmp_path / "made.jsonl").write_text("\n".join(lines))
    values = recipe.model_dump(mode="json")
    values["rollouts"]["imported"] = str(tmp_path / "made.jsonl")
    imported = run(parse_config(Recipe, values), tmp_path / "out")
    assert imported["rollouts"]["outcomes"] == summary["rollouts"]["outcomes"]
    ours = read_table(out / "signal" / "examples.parquet").to_pylist()
    theirs = read_table(tmp_path / "out" / "signal" / "examples.parquet").to_pylist()
    assert [e["completion_ids"] for e in theirs] == [e["completion_ids"] for e in ours]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one["entropy"], other["entropy"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one["logprob"], other["logprob"], rtol=1e-4, atol=1e-5)


def test_a_prompt_that_fills_a_sequence_is_refused_before_rollouts(tmp_path):
    recipe = tiny_recipe(tmp_path / "r", training={"max_length": 5})
    with pytest.raises(UserError, match=r"max_length = 5 .*prompt of 5 tokens: raise it"):
        run(recipe, tmp_path / "run")
    assert not list((tmp_path / "run" / ".rollouts.partial").glob("*.parquet"))
    grpo = recipe.training.model_copy(update={"method": "grpo"})  # cuts no prompts
    job = open_job(recipe.model_copy(update={"training": grpo}), tmp_path / "g", Display(), stages=())
    stages.problems(job, StageWork(tmp_path / "g" / "problems", None, None))
    assert job.model.loaded


def test_nothing_to_learn_from_says_what_to_do(tmp_path):
    recipe = tiny_recipe(tmp_path)
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    changed = [json.dumps({**json.loads(line), "answer": "77"}) for line in lines]
    (tmp_path / "train.jsonl").write_text("\n".join(changed))
    with pytest.raises(UserError, match=r"No problem is mixed.*never solves 6.*easier problems"):
        run(recipe, tmp_path / "out")
    assert (tmp_path / "out" / "rollouts" / "shard-00000.parquet").exists()  # nothing lost


def test_a_gate_that_lets_nothing_through_is_refused_before_it_trains(tmp_path):
    gate = {"kind": "threshold", "tau": 50}
    with pytest.raises(UserError, match=r"signal.gate.tau = 50 lets no position through"):
        run(tiny_recipe(tmp_path, signal={"gate": gate}), tmp_path / "out")
    assert not list((tmp_path / "out").glob("**/checkpoint-*"))
    display = Display(Console(record=True, width=200))
    gate = {"kind": "threshold", "sweep": [0.1, 50]}
    recipe = tiny_recipe(tmp_path, signal={"gate": gate})
    run(recipe, tmp_path / "swept", display=display, reuse=tmp_path / "out")
    shown = display.console.export_text()
    assert "tau = 50 lets no position" in shown and "tau = 0.1 lets" not in shown


def test_all_truncated_says_so(tmp_path):
    recipe = tiny_recipe(tmp_path, rollouts={"max_new_tokens": 1, "rollouts_per_problem": 2})
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    changed = [json.dumps({**json.loads(line), "answer": "77"}) for line in lines]
    (tmp_path / "train.jsonl").write_text("\n".join(changed))
    with pytest.raises(UserError, match=r"truncated.*Raise rollouts.max_new_tokens"):
        run(recipe, tmp_path / "out")
