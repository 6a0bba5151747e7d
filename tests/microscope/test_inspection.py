"""What is chosen to look at, and the two tables that keep it."""

from copy import deepcopy

import numpy as np
import pyarrow as pa
import pytest
import torch
from peft import LoraConfig, get_peft_model

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.selection import Example
from reasonmaxxer.microscope.diff import compare_texts, mentioned_ids, positions_table
from reasonmaxxer.microscope.inspection import TOKENS, choose_test, choose_train, inspect_tokens
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.microscope.vocabulary import pieces_table
from reasonmaxxer.models import LoadedModel, load_model
from reasonmaxxer.models.score import score_sequences
from reasonmaxxer.rollouts.table import Rollout
from tests.models.test_score import scores_of
from tests.tiny import tiny_folder, tiny_model


def rollout(problem, number=0, correct=False, ids=(3, 4, 2)):
    return Rollout(
        problem_id=problem,
        rollout=number,
        seed=0,
        prompt_ids=[1, 5],
        completion_ids=list(ids),
        text="",
        finish_reason="stop",
        entropy=None,
        logprob=None,
        outcome="correct" if correct else "wrong",
        extracted=None,
        engine="t",
        engine_version="0",
    )


def example(of, advantage, entropy):
    return Example(of.problem_id, of.rollout, of.prompt_ids, of.completion_ids, entropy, [-1.0] * 3, advantage)


def test_train_shows_whole_groups_in_the_order_they_were_kept():
    pool = [rollout(p, n) for p in "abc" for n in range(2)]
    examples = [example(pool[4], 1.0, []), example(pool[5], -1.0, []), example(pool[0], 1.0, [])]
    chosen = choose_train(pool, examples, 2)
    assert [(s.rollout.problem_id, s.rollout.rollout) for s in chosen] == [
        ("c", 0), ("c", 1), ("a", 0), ("a", 1),
    ]  # fmt: skip
    assert [s.example and s.example.advantage for s in chosen] == [1.0, -1.0, 1.0, None]
    assert [s.rollout.problem_id for s in choose_train(pool, examples, 1)] == ["c", "c"]
    assert choose_train(pool, examples, 0) == []


def test_test_problems_that_changed_come_first_in_turn():
    before = {"same": 1, "gain1": 0, "gain2": 0, "never": 0, "loss": 1, "gain3": 0}
    after = {"same": 1, "gain1": 1, "gain2": 1, "never": 0, "loss": 0, "gain3": 1}
    base, adapted = ([rollout(p, 0, c) for p, c in arm.items()] for arm in (before, after))
    order = [s.rollout.problem_id for s in choose_test(base, adapted, 99)[::2]]
    assert order == ["gain1", "loss", "gain2", "gain3", "same", "never"]
    chosen = choose_test(base, adapted, 2)
    assert [(s.arm, s.rollout.problem_id, s.rollout.reward) for s in chosen] == [
        ("base", "gain1", 0.0), ("adapted", "gain1", 1.0), ("base", "loss", 1.0),
        ("adapted", "loss", 0.0),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    return get_peft_model(tiny_model(vocab=8), lora)


def test_rows_hold_both_models_and_the_gate_that_training_used(model):
    taught, spare = rollout("a", 0), rollout("a", 1, True, ids=(6, 2))
    pool = [taught, spare]
    train = choose_train(pool, [example(taught, -1.5, [0.1, 9.0, 0.1])], 1)
    test = choose_test([taught], [spare], 1)
    table = inspect_tokens(train + test, Gate("threshold", 1.0, 0.5), model)
    assert table.schema == TOKENS
    rows = table.to_pylist()
    assert [(r["split"], r["arm"], r["rollout"], r["advantage"]) for r in rows] == [
        ("train", "base", 0, -1.5), ("train", "base", 1, None),
        ("test", "base", 0, None), ("test", "adapted", 1, None),
    ]  # fmt: skip
    assert rows[0]["decision"] == [False, True, False]  # as recorded, whatever is scored now
    assert rows[1]["decision"] == [h > 1.0 for h in rows[1]["base_entropy"]]
    (tuned,) = score_sequences(scores_of, [train[0].rollout], model)
    with model.disable_adapter():
        (base,) = score_sequences(scores_of, [train[0].rollout], model)
    assert abs(tuned[1] - base[1]).max() > 1e-3
    for arm, (entropy_T, logprob_T, rank_T, top_TK, top_logprob_TK) in (("base", base), ("tuned", tuned)):
        np.testing.assert_allclose(rows[0][f"{arm}_logprob"], logprob_T, atol=1e-5)
        np.testing.assert_allclose(rows[0][f"{arm}_entropy"], entropy_T, atol=1e-5)
        assert rows[0][f"{arm}_rank"] == rank_T.tolist()
        assert rows[0][f"{arm}_top"] == top_TK.tolist()
        np.testing.assert_allclose(rows[0][f"{arm}_top_logprob"], top_logprob_TK, atol=1e-5)
    choices = (base[3][:, 0], tuned[3][:, 0])
    assert [kind > 0 for kind in rows[0]["kind"]] == (choices[0] != choices[1]).tolist()


def test_an_adapter_off_and_on_is_compared_as_two_models_are(model):
    """`diff` of the base and of a copy with the adapter merged finds the same."""
    texts = [rollout("a", 0), rollout("b", 0, ids=(6, 7, 7, 2))]
    chosen = choose_test(texts, texts, 2)[::2]
    inspected = inspect_tokens(chosen, Gate("all", None, 1.0), model)
    base, merged = deepcopy(model).unload(), deepcopy(model).merge_and_unload()
    tiny = ModelConfig(name="tiny")
    loaded = [LoadedModel(m, None, "tiny", "made", "0", tiny, False, None) for m in (base, merged)]
    compared = positions_table(texts, compare_texts(Pair(*loaded), texts))
    for name in compared.column_names:
        ours, theirs = inspected[name].to_pylist(), compared[name].to_pylist()
        if name.endswith("_top_logprob"):
            ours, theirs = ([x for row in rows for x in row] for rows in (ours, theirs))
        if pa.types.is_list(compared.schema.field(name).type):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5, err_msg=name)
        else:
            assert ours == theirs


def test_vocabulary_has_every_id_that_occurs_once(model, tmp_path):
    tokenizer = load_model(ModelConfig(name=str(tiny_folder(tmp_path)), device="cpu")).tokenizer
    table = inspect_tokens(choose_test([rollout("a")], [rollout("a")], 1), Gate("all", None, 1), model)
    rows = table.to_pylist()
    ids = {3, 4, 2} | {id for r in rows for arm in ("base", "tuned") for top in r[f"{arm}_top"] for id in top}
    vocabulary = pieces_table(mentioned_ids(table), tokenizer).to_pylist()
    assert [v["id"] for v in vocabulary] == sorted(ids)
    assert {v["piece"] for v in vocabulary if v["id"] in (2, 4)} == {b"</s>", b" 1"}
    assert [v["id"] for v in vocabulary if v["special"]] == sorted(ids & {0, 1, 2, 3})


def test_nothing_chosen_gives_empty_tables(model, tmp_path):
    table = inspect_tokens([], Gate("all", None, 1.0), model)
    assert len(table) == 0 and table.schema == TOKENS
    words = load_model(ModelConfig(name=str(tiny_folder(tmp_path)), device="cpu")).tokenizer
    assert len(pieces_table(mentioned_ids(table), words)) == 0
