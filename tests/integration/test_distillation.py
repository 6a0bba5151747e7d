"""A whole distillation of a tiny pair: its figures, its survival of kills, its command."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from reasonmaxxer.artifacts import folder_lock, read_json, read_table
from reasonmaxxer.config import DistillationConfig, ModelConfig, ShapeConfig, SourceConfig, VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope.opinions import mean_kl, teacher_opinions
from reasonmaxxer.models import load_model
from reasonmaxxer.models.states import TokenSequence
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.work.distill import distill
from tests.tiny import tiny_folder, tiny_model, tiny_problems

KILLER = Path(__file__).with_name("killed.py")
EVERY = ("q_proj", "k_proj", "v_proj", "o_proj")
SHAPES = (ShapeConfig(modules=EVERY, rank=4), ShapeConfig(modules=("lm_head",), rank=2))


def tiny_teacher(base, path):
    """A copy whose attention differs, as that of a tuned model does."""
    tiny_folder(path)
    model = AutoModelForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "self_attn" in name:
                weight += 0.5 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(path)
    return path


def tiny_config(folder, **changes):
    base = tiny_folder(folder / "base")
    models = {"base": base, "teacher": tiny_teacher(base, folder / "teacher")}
    return DistillationConfig(
        **{
            **{arm: ModelConfig(name=str(path), device="cpu", dtype="float32") for arm, path in models.items()},
            "train": SourceConfig(source=str(tiny_problems(folder / "train.jsonl", 6))),
            "test": SourceConfig(source=str(tiny_problems(folder / "test.jsonl", 5, 100))),
            "verify": VerifyConfig(extraction="last_number"),
            "temperature": 1.0,
            "max_new_tokens": 6,
            "rollouts_per_problem": 4,
            "rollouts_per_shard": 8,
            "top": 4,
            "shapes": SHAPES,
            "learning_rate": 1e-2,
            "epochs": 2,
            "batch_size": 8,
            "micro_batch_size": 4,
            "bootstrap": 100,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled")
    config = tiny_config(folder)
    return config, folder / "out", distill(config, folder / "out")


def test_problems_that_were_edited_since_are_refused(made, tmp_path):
    config, out, _ = made
    edited = config.model_copy(
        update={"test": SourceConfig(source=str(tiny_problems(tmp_path / "test.jsonl", 5, 101)))}
    )
    shutil.copytree(out, tmp_path / "out")
    written = yaml.safe_load((out / "recipe.yaml").read_text())
    written["test"] = edited.test.model_dump(mode="json")  # as if the file had been these problems
    (tmp_path / "out" / "recipe.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(UserError, match=r"other problems than its source has now \(problems/test"):
        distill(edited, tmp_path / "out")


def sequences(path):
    return [TokenSequence(r.prompt_ids, r.completion_ids) for r in read_rollouts(path)]


def test_rows_hold_what_the_tables_say(made):
    config, out, summary = made
    rows = {row["name"]: row for row in summary["rows"]}
    assert list(rows) == ["base", "teacher", "qkvo-4", "lm_head-2"]
    assert (summary["top"], summary["confidence"]) == (4, 0.95)
    folders = {
        "base": out / "base",
        "teacher": out / "teacher",
        **{shape.name: out / "students" / shape.name for shape in SHAPES},
    }
    correct = {
        name: np.array([r.reward for r in read_rollouts(folder / "greedy")]) for name, folder in folders.items()
    }
    for name, row in rows.items():
        assert row["accuracy"]["value"] == pytest.approx(correct[name].mean())
        assert row["accuracy"]["n"] == summary["test_problems"] == 5
        if name != "teacher":
            change = correct[name] - correct["teacher"]
            assert row["to_teacher"]["value"] == pytest.approx(change.mean())
            assert row["to_teacher"]["gained"] == (change > 0).sum()
    assert rows["teacher"]["to_teacher"] is None and rows["teacher"]["kl"] == 0
    # a rank of q, k, v, o: 64 + 48 + 48 + 64 a layer, three layers; of the head: 32 + 8 tokens
    assert rows["qkvo-4"]["parameters"] == 4 * 672
    assert rows["lm_head-2"]["parameters"] == 2 * 40
    base = sum(p.numel() for p in load_model(config.base).model.parameters())
    assert rows["qkvo-4"]["parameter_share"] == pytest.approx(4 * 672 / base)
    assert rows["teacher"]["parameters"] == base
    assert summary["rollouts"]["rollouts"] == 24
    assert rows["qkvo-4"]["steps"] == 6  # 24 rollouts, 8 a step, 2 epochs
    assert rows["qkvo-4"]["kl"] < rows["base"]["kl"]


def test_what_is_learnt_from_are_the_teachers_own_words(made):
    config, out, summary = made
    teacher = load_model(config.teacher).model
    heard = sequences(out / "teacher" / "greedy")
    opinions = teacher_opinions(heard, teacher, 4)
    base = load_model(config.base).model
    [row] = [row for row in summary["rows"] if row["name"] == "base"]
    assert row["kl"] == pytest.approx(mean_kl(heard, opinions, base).mean(), rel=1e-6)
    [row] = [row for row in summary["rows"] if row["name"] == "qkvo-4"]
    student = ModelConfig(name=str(out / "students" / "qkvo-4" / "adapter"), device="cpu", dtype="float32")
    found = mean_kl(heard, opinions, load_model(student).model)
    assert row["kl"] == pytest.approx(found.mean(), rel=1e-3)
    history = read_table(out / "students" / "qkvo-4" / "history.parquet").to_pydict()
    assert history["step"] == [1, 2, 3, 4, 5, 6] and None not in history["loss"]


def test_nothing_temporary_is_left_and_nothing_is_done_again(made):
    config, out, summary = made
    left = {path.name for path in out.rglob("*") if path.name.startswith(".")}
    assert left <= {".lock"}
    assert sorted(path.name for path in (out / "students" / "qkvo-4").iterdir()) == [
        "adapter", "greedy", "history.parquet", "stage.json",
    ]  # fmt: skip

    def written():
        paths = (path for path in out.rglob("[!.]*.*") if not path.name.startswith("distill."))
        return {path: path.stat().st_mtime_ns for path in paths}

    before = written()
    assert distill(config, out) == summary
    assert written() == before


def contents(out):
    """Bytes of every file but those that hold times."""
    timed = {".lock", "stage.json", "summary.json", "distill.html"}
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in timed
    }


def ledger(summary):
    """What does not depend on the clock."""
    return [(s["stage"], s["tokens"], f"{s['flops']:.9e}") for s in summary["cost"]["stages"]]


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        ("os.rename", "rollouts/shard-00001.parquet"),
        ("os.rename", "/teacher"),
        ("open", "checkpoint-6/trainer_state.json"),  # the first epoch's checkpoint is whole
        ("os.rename", "history.parquet"),
        ("os.rename", "lm_head-2.partial/greedy/shard-00000.parquet"),
        ("os.rename", "summary.json"),
    ],
)
def test_a_killed_distillation_ends_with_the_same_bytes(made, tmp_path, event, ending):
    config, out, summary = made
    (tmp_path / "config.json").write_text(config.model_dump_json())
    command = [sys.executable, KILLER, "distill", tmp_path / "config.json", tmp_path / "out", event, ending]
    killed = subprocess.run(command, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "out" / "summary.json").exists()
    resumed = distill(config, tmp_path / "out")
    assert {**resumed, "cost": None} == {**summary, "cost": None} and ledger(resumed) == ledger(summary)
    assert contents(tmp_path / "out") == contents(out)


def test_a_folder_of_another_distillation_is_refused(made, tmp_path):
    config, out, _ = made
    other = config.model_copy(update={"epochs": 1.0})
    with pytest.raises(UserError, match=r"epochs is 2\.0 there and 1\.0 here"):
        distill(other, out)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="was not made by"):
        distill(config, tmp_path)
    with folder_lock(out), pytest.raises(UserError, match="in use by another process"):
        distill(config, out)


def test_a_mistake_found_before_the_teacher_works_leaves_the_folder_free(made, tmp_path):
    config, _, summary = made
    wrong = (ShapeConfig(modules=("out_proj",), rank=4),)
    with pytest.raises(UserError, match="Did you mean 'o_proj'"):
        distill(config.model_copy(update={"shapes": wrong}), tmp_path / "out")
    made_again = distill(config, tmp_path / "out")
    assert {**made_again, "cost": None} == {**summary, "cost": None}


def test_problems_to_distil_on_are_not_those_that_measure(made, tmp_path):
    config, *_ = made
    with pytest.raises(UserError, match=r"^train and test share 6 problems"):
        distill(config.model_copy(update={"test": config.train}), tmp_path / "out")


# The command.


def reasonmaxxer(*arguments):
    command = [sys.executable, "-m", "reasonmaxxer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_refuses_models_that_do_not_belong_together(made, tmp_path):
    config, *_ = made
    stranger = tiny_folder(tmp_path / "stranger")
    tiny_model(vocab=11).save_pretrained(stranger)
    done = reasonmaxxer(
        "distill", config.base.name, stranger, f"train={config.train.source}",
        f"test={config.test.source}", "--limit", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert "predicts 8 tokens" in said and "stranger 11" in said and "Traceback" not in said
    assert not list((tmp_path / "out").rglob("*teacher*/*"))


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("shapes=qkvo", "'qkvo' is not of the form MODULES:RANK"),
        ("learning_rate=0", "'learning_rate' = 0"),
        ("base.dtype=int8", "'base.dtype' = 'int8'"),
    ],
)
def test_wrong_keys_are_one_sentence(tmp_path, key, sentence):
    done = reasonmaxxer("distill", "a", "b", key, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_table(made, tmp_path):
    config, *_ = made
    done = reasonmaxxer(
        "distill", config.base.name, config.teacher.name, f"train={config.train.source}",
        f"test={config.test.source}", "--limit", 3, "shapes=o:2", "rollouts_per_problem=2", "epochs=1",
        "max_new_tokens=4", "base.dtype=float32", "teacher.dtype=float32", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Greedy accuracy on 3 test problems" in done.stdout and "o-2" in done.stdout
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert (written["rollouts_per_problem"], written["epochs"], written["top"]) == (2, 1, 64)
    assert read_json(tmp_path / "out" / "summary.json")["rows"][2]["parameters"] == 2 * 64 * 3
