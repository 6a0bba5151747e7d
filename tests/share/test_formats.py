"""Rollouts out in the formats of TRL, read by its trainers, and in again."""

import json
import re
from pathlib import Path

import pytest
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.cli import app
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import problems_from_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.share.formats import export, rows_of
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.workspace import Workspace

trl = pytest.importorskip("trl", reason="TRL needs Python 3.11")

OUTCOMES = {"a": ["correct", "wrong", "unparsed"], "b": ["wrong", "timeout"], "c": ["correct"] * 2}


def rollout(problem, index, outcome):
    return Rollout(
        problem, index, 7, [1, 4], [index + 3, 2], f"{problem}{index}", "stop", None, None, outcome, None,
        engine="vllm", engine_version="0.11",
    )  # fmt: skip


POOL = [rollout(p, i, o) for p, outcomes in OUTCOMES.items() for i, o in enumerate(outcomes)]
TEXTS = {"a": "one", "b": "two", "c": "three"}


def test_rows_of_every_format():
    correct = rows_of(POOL, TEXTS, "chat_template", "prompt-completion", 0)
    assert [(r["problem_id"], r["completion_ids"]) for r in correct] == [
        ("a", [3, 2]), ("c", [3, 2]), ("c", [4, 2]),
    ]  # fmt: skip
    assert correct[0] == {
        "prompt": [{"role": "user", "content": "one"}], "problem_id": "a", "prompt_ids": [1, 4],
        "completion": [{"role": "assistant", "content": "a0"}], "completion_ids": [3, 2],
        "finish_reason": "stop", "engine": "vllm", "engine_version": "0.11",
    }  # fmt: skip
    labelled = rows_of(POOL, TEXTS, "llama_abel", "unpaired-preference", 0)
    # a grading that failed is no wrong answer
    assert [(r["completion"], r["label"]) for r in labelled] == [
        ("a0", True), ("a1", False), ("a2", False), ("b0", False), ("c0", True), ("c1", True),
    ]  # fmt: skip
    assert labelled[0]["prompt"] == "Question:\none\nAnswer:\nLet's think step by step.\n"
    pairs = rows_of(POOL, TEXTS, "chat_template", "preference", 0)
    assert [r["problem_id"] for r in pairs] == ["a", "a"]
    assert {r["rejected"][0]["content"] for r in pairs} == {"a1", "a2"}
    for row in pairs:
        assert row["chosen"] == [{"role": "assistant", "content": "a0"}]
        assert row["rejected_ids"] == [int(row["rejected"][0]["content"][1]) + 3, 2]


@pytest.mark.parametrize(
    "form, trainer, config, made",
    [
        ("prompt-completion", trl.SFTTrainer, trl.SFTConfig, ("input_ids",)),
        ("unpaired-preference", trl.KTOTrainer, trl.KTOConfig, ("prompt_ids", "completion_ids")),
        ("preference", trl.DPOTrainer, trl.DPOConfig, ("prompt_ids", "chosen_ids", "rejected_ids")),
    ],
)
def test_trls_trainers_learn_from_the_files(tiny_run, tmp_path, form, trainer, config, made):
    run, recipe = tiny_run
    count = export(run, form, tmp_path / "rows.jsonl")
    rows = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train",
                        cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert len(rows) == count > 1
    assert trl.data_utils.is_conversational(rows[0])
    trained = trainer(
        model=AutoModelForCausalLM.from_pretrained(recipe.model.name),
        args=config(output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2,
                    report_to="none", use_cpu=True, save_strategy="no", bf16=False),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(recipe.model.name),
    )  # fmt: skip
    assert set(made) <= set(trained.train_dataset.column_names)
    assert trained.train().global_step == 1


def test_the_guide_trains_sft_on_the_ids_that_were_sampled(tiny_run, tmp_path):
    run, recipe = tiny_run
    export(run, "prompt-completion", tmp_path / "right.jsonl")
    text = Path("docs/sharing.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(from datasets.*?)```", text, re.DOTALL)
    made = {}
    exec(snippet.replace("right.jsonl", str(tmp_path / "right.jsonl")), made)
    trained = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(recipe.model.name),
        args=trl.SFTConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False),
        train_dataset=made["rows"],
        processing_class=AutoTokenizer.from_pretrained(recipe.model.name),
    )
    right = [r for r in read_rollouts(run / "rollouts") if r.reward]
    assert len(right) > 1
    for row, rollout in zip(trained.train_dataset, right, strict=True):
        prompt, completion = rollout.prompt_ids, rollout.completion_ids
        assert row["input_ids"] == prompt + completion
        assert row["labels"] == [-100] * len(prompt) + completion


@pytest.mark.parametrize("keep_ids", [True, False])
def test_what_was_exported_is_imported_as_it_was(tiny_run, tmp_path, keep_ids):
    run, recipe = tiny_run
    sampled = read_rollouts(run / "rollouts")
    file = tmp_path / "rows.jsonl"
    done = CliRunner().invoke(app, ["export", str(run), "--out", str(file)])
    assert done.exit_code == 0 and done.stdout.startswith(f"{len(sampled)} rows"), done.output
    if not keep_ids:  # as another tool would write it
        kept = ("prompt", "completion", "label", "finish_reason")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps({k: r[k] for k in kept}) + "\n" for r in rows))
    with Verifier(recipe.verify, recipe.problems.prompt_style) as verifier:
        read = import_rollouts(
            file,
            problems_from_table(read_table(run / "problems" / "train.parquet")),
            verifier,
            AutoTokenizer.from_pretrained(recipe.model.name),
            prompt_style=recipe.problems.prompt_style,
            eos_ids=[2],
        )
    names = ["problem_id", "rollout", "prompt_ids", "finish_reason", "outcome", "extracted"]
    if keep_ids:  # text does not tell every token
        names += ["completion_ids", "text", "engine", "engine_version"]
    for name in names:
        assert [getattr(r, name) for r in read] == [getattr(r, name) for r in sampled], name


def test_what_cannot_be_exported_is_named(tiny_run, tmp_path):
    run, _ = tiny_run
    with pytest.raises(UserError, match=r"'preferences' is none of .* Did you mean 'preference'\?"):
        export(run, "preferences", tmp_path / "x")
    with pytest.raises(UserError, match=r"no workspace\.json"):
        export(tmp_path, "preference", tmp_path / "x")
    Workspace(tmp_path / "begun", "run", Recipe())
    with pytest.raises(UserError, match="has no rollouts yet"):
        export(tmp_path / "begun", "preference", tmp_path / "x")
    assert not (tmp_path / "x").exists()
