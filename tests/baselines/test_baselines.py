"""Baselines on a tiny model that guesses: what they learn from, that they learn, and that they resume."""

import importlib.util
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from reasonmaxxer.baselines.batches import compact_batches
from reasonmaxxer.baselines.offline import learnt_lengths, mismatched_lengths, offline_rows, train_offline
from reasonmaxxer.baselines.online import Environment, train_online
from reasonmaxxer.baselines.trl import check_trl
from reasonmaxxer.config import AdapterConfig, Recipe, SamplingConfig, TrainingConfig, VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.arms import name_of
from reasonmaxxer.method.fit import FitArguments, planned_steps
from reasonmaxxer.method.pool import group_rollouts
from reasonmaxxer.method.selection import Example, examples_of
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import eos_ids, load_model
from reasonmaxxer.problems import Problem
from reasonmaxxer.recipe import load_recipe, parse_config
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier

from ..tiny import tiny_folder

pytest.importorskip("trl", reason="TRL needs Python 3.11")

ONLINE, OFFLINE = ("grpo", "rloo"), ("sft", "dpo", "kto")
PROBLEMS = [Problem(f"p{n}", f"{n % 3 + 1} so", "1", "tiny") for n in range(6)]
SAMPLING = SamplingConfig(temperature=1.0, top_p=1.0, max_new_tokens=4)


def config(method, **changes):
    values = {
        "method": method,
        "learning_rate": 0.02,
        "batch_size": 12,
        "micro_batch_size": 6,
        "warmup_steps": 1,
        "checkpoints": 2,
        "adapter": {"rank": 4, "alpha": 8},
        "baseline": {"steps": 8, "beta": 0.1 if method in ("dpo", "kto") else 0.0},
    }
    return TrainingConfig.model_validate({**values, **changes})


@pytest.fixture
def tiny(tmp_path):
    """A fresh model with an adapter, its tokenizer and a verifier."""
    recipe = parse_config(
        Recipe, {"model": {"name": str(tiny_folder(tmp_path / "model")), "device": "cpu", "dtype": "float32"}}
    )
    verifier = Verifier(VerifyConfig(extraction="last_number"), "chat_template")

    def fresh():
        loaded = load_model(recipe.model)
        model = add_adapter(loaded.model, AdapterConfig(rank=4, alpha=8), 0)
        return model, loaded.tokenizer

    with verifier:
        yield fresh, verifier


def environment(model, tokenizer, verifier):
    engine = TransformersEngine(model, eos_ids(model, tokenizer), 16)
    return Environment(PROBLEMS, engine, verifier, "chat_template", SAMPLING, 6)


def sampled(model, tokenizer, verifier, seed=0, each=16):
    sampler = Sampler(
        TransformersEngine(model, eos_ids(model, tokenizer), 64), verifier, tokenizer,
        prompt_style="chat_template", sampling=SAMPLING, per_problem=each, seed=seed,
    )  # fmt: skip
    return sampler.sample(PROBLEMS)


def taught(model, tokenizer, verifier):
    from reasonmaxxer.config import SignalConfig

    return examples_of(group_rollouts(sampled(model, tokenizer, verifier)), SignalConfig(), 0)


def train(method, model, tokenizer, verifier, folder, settings=None, on_step=None, **hooks):
    settings = settings or config(method)
    if method in ONLINE:
        acted_in = environment(model, tokenizer, verifier)
        return train_online(model, tokenizer, acted_in, settings, FitArguments(folder, 3, on_step=on_step), **hooks)
    rows = offline_rows(taught(model, tokenizer, verifier), settings, 3)
    return train_offline(model, tokenizer, rows, settings, FitArguments(folder, 3, on_step=on_step))


@pytest.mark.parametrize("method", ONLINE + OFFLINE)
def test_it_learns(tiny, tmp_path, method):
    fresh, verifier = tiny
    model, tokenizer = fresh()

    def accuracy():
        return np.mean([r.reward for r in sampled(model, tokenizer, verifier, seed=9)])

    before = accuracy()
    history = train(method, model, tokenizer, verifier, tmp_path / "t", config(method, epochs=4.0))
    assert accuracy() > before + 0.15
    assert [row["step"] for row in history] == list(range(1, len(history) + 1))
    if method in ONLINE:
        assert len(history) == 8
        assert all(0 <= row["reward"] <= 1 and row["completion_length"] <= 4 for row in history)


@pytest.mark.parametrize("method", ONLINE + OFFLINE)
def test_it_goes_on_where_it_was_killed(tiny, tmp_path, method):
    fresh, verifier = tiny
    settings = config(method, epochs=3.0, checkpoints=8)

    def killed(step):
        if step == 4:
            raise KeyboardInterrupt

    train(method, *fresh(), verifier, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(method, *fresh(), verifier, tmp_path / "twice", settings, on_step=killed)
    before = sorted(p.name for p in (tmp_path / "twice").glob("checkpoint-*"))
    history = train(method, *fresh(), verifier, tmp_path / "twice", settings)
    last = f"checkpoint-{history[-1]['step']}"
    assert before and last not in before
    one, other = (load_file(tmp_path / name / last / "adapter_model.safetensors") for name in ("whole", "twice"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ONLINE)
def test_our_engine_samples_and_our_verifier_rewards(tiny, tmp_path, method):
    fresh, verifier = tiny
    model, tokenizer = fresh()
    made = environment(model, tokenizer, verifier)
    calls, graded = [], []

    class Engine:
        name, version = "spy", "0"

        def generate(self, requests, sampling, on_tokens=None):
            calls.append(([r.prompt_ids for r in requests], [r.seed for r in requests], sampling))
            return made.engine.generate(requests, sampling, on_tokens)

    class Grades:
        def grade(self, items):
            grades = verifier.grade(items)
            graded.append([grade.outcome.value == "correct" for grade in grades])
            return grades

    lengths = []
    history = train_online(
        model, tokenizer, replace(made, engine=Engine(), verifier=Grades()), config(method),
        FitArguments(tmp_path, 0), on_sampled=lengths.append,
    )  # fmt: skip
    assert len(calls) == 8
    for prompts, seeds, sampling in calls:
        assert sorted(Counter(prompts).values()) in ([6, 6], [12])  # two problems of six
        assert all(len(set(prompts[i : i + 6])) == 1 for i in (0, 6))
        assert len(set(seeds)) == 12
        assert sampling == SAMPLING
    assert len({seed for _, seeds, _ in calls for seed in seeds}) == 8 * 12
    assert [row["reward"] for row in history] == pytest.approx([np.mean(g) for g in graded])
    assert [row["completion_length"] for row in history] == pytest.approx(
        [np.mean([made for _, made in of]) for of in lengths]
    )


@pytest.mark.parametrize("method", ONLINE)
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_leaving_out_what_teaches_nothing_changes_nothing(tiny, tmp_path, monkeypatch, method, beta):
    fresh, verifier = tiny
    settings = config(method, micro_batch_size=3, baseline={"steps": 4, "beta": beta})
    learnt = []
    train(method, *fresh(), verifier, tmp_path / "compact", settings, on_learnt=learnt.append)
    monkeypatch.setattr("reasonmaxxer.baselines.online.compact", lambda trainer, on_learnt: trainer)
    history = train(method, *fresh(), verifier, tmp_path / "trl", settings)
    one, other = (
        load_file(tmp_path / name / "checkpoint-4" / "adapter_model.safetensors") for name in ("compact", "trl")
    )
    # weights of 0.05 to 0.2, apart by rounding alone, which Adam magnifies where a gradient is nearly zero
    assert all(torch.allclose(one[name], other[name], atol=5e-5) for name in one)
    silent = [row["frac_reward_zero_std"] for row in history]
    assert 0 < sum(silent) < 4  # some groups had nothing to teach, some had
    expected = [12 if beta else 12 - round(12 * share) for share in silent]
    assert [len(lengths) for lengths in learnt] == expected


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.booleans()), min_size=6, max_size=6))
def test_micro_batches_hold_what_teaches_and_no_more_padding_than_it_needs(rows):
    made = [
        {
            "prompt_ids": torch.tensor([[0] * (4 - p) + [10 + i] * p]),
            "prompt_mask": torch.tensor([[0] * (4 - p) + [1] * p]),
            "completion_ids": torch.tensor([[20 + i] * c + [0] * (6 - c)]),
            "completion_mask": torch.tensor([[1] * c + [0] * (6 - c)]),
            "advantages": torch.tensor([float(teaches) * (i + 1)]),
            "num_items_in_batch": torch.tensor(99),
        }
        for i, (p, c, teaches) in enumerate(rows)
    ]
    pairs = [
        {name: torch.cat([one[name], other[name]]) if one[name].ndim else one[name] for name in one}
        for one, other in zip(made[::2], made[1::2], strict=True)
    ]
    compacted = compact_batches(pairs, anchored=False)
    assert [len(batch["advantages"]) for batch in compacted] == sorted(
        (len(batch["advantages"]) for batch in compacted), reverse=True
    )
    seen = []
    for batch in compacted:
        assert batch["num_items_in_batch"] == 99
        assert len(batch["advantages"]) in (0, 2)
        if not len(batch["advantages"]):
            continue
        assert (batch["advantages"] != 0).any()
        assert batch["prompt_mask"].any(0).all() and batch["completion_mask"].any(0).all()
        for row in range(2):
            prompt, completion = (
                batch[f"{of}_ids"][row][batch[f"{of}_mask"][row] == 1].tolist() for of in ("prompt", "completion")
            )
            i = completion[0] - 20
            assert (prompt, completion) == ([10 + i] * rows[i][0], [20 + i] * rows[i][1])
            assert batch["advantages"][row] == rows[i][2] * (i + 1)
            assert batch["prompt_mask"][row, -1] == batch["completion_mask"][row, 0] == 1
            seen.append(i)
    assert len(set(seen)) == len(seen)
    assert {i for i, row in enumerate(rows) if row[2]} <= set(seen)
    everything = compact_batches(pairs, anchored=True)
    assert sum(len(batch["advantages"]) for batch in everything) == 6


def example(problem, rollout, advantage, ids):
    return Example(problem, rollout, [1, len(problem)], ids, [0.5] * len(ids), [-0.5] * len(ids), advantage)


EXAMPLES = [
    example("a", 0, 0.5, [10, 2]), example("a", 1, -2.0, [11, 2]), example("a", 2, 0.5, [12, 2]),
    example("a", 3, 0.5, [13, 2]), example("bb", 0, 1.0, [20, 2]), example("bb", 1, -1.0, [21, 2]),
    example("ccc", 0, -0.2, [30]),
]  # fmt: skip


def test_sft_learns_from_correct_rollouts_alone():
    rows = offline_rows(EXAMPLES, config("sft"), 0)
    assert [row["input_ids"] for row in rows] == [
        [1, 1, 10, 2], [1, 1, 12, 2], [1, 1, 13, 2], [1, 2, 20, 2],
    ]  # fmt: skip
    assert all(row["labels"] == [-100, -100, *row["input_ids"][2:]] for row in rows)
    assert [learnt_lengths(row) for row in rows] == [[(2, 2)]] * 4


def test_dpo_pairs_right_with_wrong_of_the_same_problem():
    rows = offline_rows(EXAMPLES, config("dpo"), 0)
    assert len(rows) == 3 + 1  # the problem without a right rollout makes no pair
    for row in rows:
        tens = {row["chosen_ids"][0] // 10, row["rejected_ids"][0] // 10, row["prompt_ids"][1]}
        assert len(tens) == 1
    assert {row["chosen_ids"][0] for row in rows} == {10, 12, 13, 20}
    assert {row["rejected_ids"][0] for row in rows} == {11, 21}
    assert [learnt_lengths(row) + mismatched_lengths(row) for row in rows] == [[(2, 2), (2, 2)]] * 4
    with pytest.raises(UserError, match="no rollouts"):
        offline_rows(EXAMPLES[-1:], config("dpo"), 0)


def test_kto_takes_every_rollout_once_and_mismatches_within_a_pass():
    settings = config("kto", micro_batch_size=3, batch_size=3)
    rows = offline_rows(EXAMPLES[:6], settings, 0)
    assert sorted(row["completion_ids"][0] for row in rows) == [10, 11, 12, 13, 20, 21]
    right = {e.completion_ids[0]: e.advantage > 0 for e in EXAMPLES}
    assert all(row["label"] == right[row["completion_ids"][0]] for row in rows)
    for start in (0, 3):
        batch = rows[start : start + 3]
        made = [row["completion_ids"] for row in batch]
        assert [row["KL_completion_ids"] for row in batch] == [made[2], made[0], made[1]]
    assert [learnt_lengths(row) + mismatched_lengths(row) for row in rows] == [[(2, 2), (2, 2)]] * 6
    # a last pass of one row would compare it with itself
    assert len(offline_rows(EXAMPLES, settings, 0)) == 6


@pytest.mark.parametrize("method, trainer", [("sft", "SFTTrainer"), ("kto", "KTOTrainer")])
def test_rows_of_kto_are_read_as_they_lie_and_others_anew_in_every_epoch(tiny, tmp_path, monkeypatch, method, trainer):
    import trl

    model, tokenizer = tiny[0]()
    settings = config(method, micro_batch_size=2, batch_size=2, epochs=2)
    made = [
        Example(f"p{n}", 0, [1, n], [n, n, 2], [0.1] * 3, [-0.1] * 3, 1.0 if n % 2 or method == "sft" else -1.0)
        for n in range(2, 8)
    ]
    rows = offline_rows(made, settings, 0)
    read = []
    computed = getattr(trl, trainer).compute_loss

    def compute_loss(self, model, inputs, *args, **kwargs):
        read.extend(inputs["input_ids"][:, 1].tolist())
        return computed(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(getattr(trl, trainer), "compute_loss", compute_loss)
    train_offline(model, tokenizer, rows, settings, FitArguments(tmp_path / "out", 3))
    given = [(row.get("input_ids") or row["prompt_ids"])[1] for row in rows]
    assert sorted(given) == [2, 3, 4, 5, 6, 7]
    assert [sorted(read[:6]), sorted(read[6:])] == [sorted(given)] * 2
    assert (read == 2 * given) == (method == "kto")
    if method == "sft":
        assert read[:6] != read[6:]


def test_steps_of_an_offline_training():
    assert planned_steps(25, config("sft")) == 3
    assert planned_steps(25, config("sft", epochs=2.5)) == 8
    assert planned_steps(1, config("sft", epochs=0.1)) == 1


def test_a_baseline_keeps_the_recipe_but_its_training(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "training: {learning_rate: 7.0, anchor_weight: 3.0, adapter: {rank: 5}}\nproblems: {test: {limit: 7}}\n"
    )
    recipe = load_recipe(str(mine), ("training.baseline.steps=3",), "grpo")
    assert recipe.training.method == "grpo"
    assert recipe.training.adapter.rank == 5
    assert recipe.training.baseline.steps == 3
    assert recipe.training.learning_rate == 3e-4 and recipe.training.anchor_weight == 0.2
    assert recipe.problems.test.limit == 7
    with pytest.raises(UserError, match="Did you mean 'grpo'"):
        load_recipe("default", (), "gpro")


def test_settings_that_cannot_work_are_refused_by_name():
    with pytest.raises(UserError, match="rollouts_per_problem 5"):
        load_recipe("default", ("rollouts.rollouts_per_problem=5",), "grpo")
    with pytest.raises(UserError, match="beta must be above 0"):
        load_recipe("default", ("training.baseline.beta=0",), "dpo")
    with pytest.raises(UserError, match="micro_batch_size is 2 or more"):
        load_recipe("default", ("training.micro_batch_size=1",), "kto")
    with pytest.raises(UserError, match="leave that at 'group'"):
        load_recipe("default", ("signal.advantage=boltzmann",), "sft")


def test_too_few_problems_for_a_step(tiny, tmp_path):
    fresh, verifier = tiny
    model, tokenizer = fresh()
    made = replace(environment(model, tokenizer, verifier), problems=PROBLEMS[:1])
    with pytest.raises(UserError, match="takes 2 problems"):
        train_online(model, tokenizer, made, config("grpo"), FitArguments(tmp_path, 0))


def test_without_trl_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_trl("reasonmaxxer")
    with pytest.raises(UserError, match=r"reasonmaxxer\[baselines\]"):
        check_trl("grpo")


def test_names():
    assert name_of(config("grpo")) == "GRPO"
    top = config("grpo", baseline={"top_entropy_quantile": 0.2})
    assert name_of(top) == "GRPO, top 20% of tokens"
    assert name_of(TrainingConfig()) == "ReasonMaxxer"
