"""What is read back from a run directory."""

import numpy as np
import pytest
import yaml

from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.measure.arms import read_arms
from reasonmaxxer.report.page import write_report
from reasonmaxxer.report.results import PoolProblem, read_results
from tests.report.made import GATES, HOSTILE, edited, make_run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "run"
    make_run(path, texts={"e0": HOSTILE})
    return read_results(path)


def test_the_pool_knows_what_was_kept(results):
    assert results.pool == [
        PoolProblem("t0", 0, 4, False), PoolProblem("t1", 2, 4, True), PoolProblem("t2", 1, 4, True),
        PoolProblem("t3", 4, 4, False),
    ]  # fmt: skip


def test_the_gate_that_validation_chose(results):
    assert results.gates == GATES and results.chosen_gate == 1
    tried = {checkpoint: (e["value"], e["n"]) for checkpoint, e in results.validation.items()}
    assert tried == {(0, 2): (0.5, 2), (0, 4): (0.5, 2), (1, 2): (0.5, 2), (1, 4): (1.0, 2)}


def test_entropy_of_every_token_that_teaches(results):
    np.testing.assert_allclose(results.entropy, [0.1, 0.5, 2.0] * 8, rtol=1e-6)


def test_both_answers_to_each_test_problem(results):
    changes = {c.problem_id: c.kind for c in results.examples}
    assert changes == {"e0": "gained", "e1": "lost", "e2": "both", "e3": "neither", "e4": "gained"}
    first = results.examples[0]
    assert (first.text, first.gold, first.answers[0].text) == ("What is e0?", "7", "so 7")
    assert first.answers[1].text == HOSTILE and first.answers[1].extracted == "7"
    assert not first.answers[1].truncated


def test_of_programs_it_is_known_why_they_are_wrong(results, tmp_path):
    make_run(tmp_path / "run", wrong="NameError: name 'y'")
    code = read_results(tmp_path / "run")
    assert all(one.code for one in code.examples) and not any(one.code for one in results.examples)
    assert [answer.detail for answer in code.examples[0].answers] == ["NameError: name 'y'", None]
    summary = code.summary
    # of base and adapted 3 and 2 of the 5 test problems are wrong, greedily and twice sampled; of 16 rollouts 9
    kinds = {part: summary[part]["wrong_by_kind"] for part in ("base", "adapted", "rollouts")}
    assert kinds == {"base": {"NameError": 9}, "adapted": {"NameError": 6}, "rollouts": {"NameError": 9}}
    assert not any("wrong_by_kind" in results.summary[part] for part in kinds)


def test_a_run_of_version_0_2_is_drawn_and_compared(tmp_path):
    make_run(tmp_path / "old", signal={"negative_weight": 0})
    make_run(tmp_path / "new", signal={"negative_weight": 0}, seed=1)
    _age(tmp_path / "old")
    assert write_report(tmp_path / "old").is_file()
    (arm,) = read_arms([tmp_path / "old", tmp_path / "new"])[1:]
    assert arm.seeds == [0, 1]


def _age(run):
    """Take out of a run what version 0.2 did not write."""
    for file, (section, key) in {
        "summary.json": ("training", "rounds"),
        "training/stage.json": ("counts", "rounds"),
    }.items():
        values = read_json(run / file)
        del values[section][key]
        write_json(values, run / file)
    for name in ("history", "validation"):
        path = run / "training" / f"{name}.parquet"
        write_table(read_table(path).drop_columns(["round"]), path)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for section, keys in {
        "rollouts": ("problems",),
        "signal": ("rollouts", "advantage", "boltzmann_temperature", "negative_weight"),
        "training": ("objective", "clip_epsilon", "lr_scheduler_type"),
    }.items():
        for key in keys:
            del recipe[section][key]
    del recipe["rounds"]
    recipe["signal"]["positive_only"] = True
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    edited(run)
