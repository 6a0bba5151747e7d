import json
import subprocess
import sys

import pytest
import reasoning_gym

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import load_problems, normalise

SPLITS = ("train", "validation", "test")


def load(task, split="train", limit=None, seed=0, **options):
    config = SourceConfig(source=f"reasoning-gym/{task}", split=split, limit=limit, options=options)
    return load_problems(config, seed, f"problems.{split}")


def test_a_problem_is_the_entry_of_its_task():
    problems = load("gcd", limit=30)
    assert len(problems) == 30
    score = reasoning_gym.get_score_answer_fn("gcd")
    for problem in problems:
        entry = problem.metadata["entry"]
        assert problem.metadata["task"] == "gcd"
        assert (problem.text, problem.answer) == (entry["question"], entry["answer"])
        assert (problem.domain, problem.verifier) == ("reasoning-gym/gcd", "reasoning_gym")
        assert problem.id.startswith("reasoning-gym/gcd/")
        assert json.loads(json.dumps(entry)) == entry  # no tuples, no keys that are not text
        assert score(problem.answer, entry) == 1
        assert score("no number", entry) < 1


def test_limit_none_gives_500_and_options_reach_the_task():
    problems = load("chain_sum", min_terms=3, max_terms=3)
    assert len(problems) == 500
    assert {p.metadata["entry"]["metadata"]["num_terms"] for p in problems} == {3}


def test_splits_are_disjoint_for_many_seeds_even_of_a_small_task():
    seen = {
        split: {
            normalise(p.text)
            for seed in range(8)
            for p in load(
                "basic_arithmetic",
                split,
                20,
                seed,
                min_terms=2,
                max_terms=2,
                min_digits=1,
                max_digits=1,
                allow_parentheses=False,
            )
        }
        for split in SPLITS
    }
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_splits_are_drawn_apart():
    # One draw parted by text would never give two splits the same place in a batch.
    places = [{p.metadata["entry"]["metadata"]["source_index"] for p in load("gcd", split, 30)} for split in SPLITS]
    assert places[0] & places[1]
    assert places[1] & places[2]


def test_no_repeats_and_seeds_differ():
    one = load("chain_sum", limit=700, min_digits=1, max_digits=1, max_terms=3)
    assert len({normalise(p.text) for p in one}) == len({p.id for p in one}) == 700
    near = load("chain_sum", limit=700, seed=1, min_digits=1, max_digits=1, max_terms=3)
    assert [p.id for p in near][:50] != [p.id for p in one][1:51]
    assert load("chain_sum", limit=20, min_digits=1, max_digits=1, max_terms=3) == one[:20]


def test_draws_are_the_same_in_another_process():
    code = (
        "from reasonmaxxer.config import SourceConfig\n"
        "from reasonmaxxer.problems import load_problems\n"
        "c = SourceConfig(source='reasoning-gym/letter_counting', split='test', limit=5)\n"
        "print(*(p.id for p in load_problems(c, 3, 'x')))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [p.id for p in load("letter_counting", "test", 5, 3)]


def test_a_task_without_one_gold_answer_has_an_empty_one():
    (problem,) = load("graph_color", limit=1)
    assert problem.answer == ""


def test_a_task_that_runs_dry():
    # Single-digit sums of two terms: at most 9 x 9 x 2 signs, a tenth of them for the test split.
    with pytest.raises(UserError, match=r"gives only \d+ distinct test problems, fewer than 400"):
        load("chain_sum", "test", 400, min_terms=2, max_terms=2, min_digits=1, max_digits=1)


@pytest.mark.parametrize(
    ("task", "split", "options", "message"),
    [
        ("gdc", "train", {}, r"problems\.train\.source: .*no task 'gdc'\. Did you mean 'gcd'\?"),
        ("gcd", "dev", {}, r"problems\.dev\.split 'dev' is unknown"),
        ("gcd", "train", {"min_number": 3}, r"problems\.train\.options .*min_number"),
        ("gcd", "train", {"min_numbers": 9, "max_numbers": 2}, r"options .*max_numbers must be"),
        ("gcd", "train", {"size": 9}, r"options cannot set size: use problems\.train\.seed"),
        ("composite", "train", {"datasets": [{"name": "gcd"}]}, r"options .*reasoning-gym/comp"),
        ("rearc", "train", {}, r"scorer of reasoning-gym/rearc gives its own answer 0\.05"),
    ],
)
def test_bad_input_is_named(task, split, options, message):
    with pytest.raises(UserError, match=message):
        load(task, split, 5, **options)


def test_an_entry_that_json_cannot_hold():
    from reasonmaxxer.problems.gym import _plain

    assert _plain({"a": (1, (2, 3))}, "reasoning-gym/x", "w") == {"a": [1, [2, 3]]}
    for value in ({1, 2}, float("nan"), object()):
        with pytest.raises(UserError, match=r"w: an entry of reasoning-gym/x cannot be kept"):
            _plain({"a": value}, "reasoning-gym/x", "w")
