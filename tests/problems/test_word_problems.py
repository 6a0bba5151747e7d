import operator
import re
from collections import Counter

import pytest

from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, normalise
from reasonmaxxer.problems.word_problems import word_problems

SPLITS = ("train", "validation", "test")

# What each wording asks for, written down by hand: the numbers in reading order, then the sum.
WORDINGS = {
    r"A \w+ holds (\d+) \w+ and (\d+) more are added\.": operator.add,
    r"\w+ has (\d+) \w+ and gets (\d+) more\.": operator.add,
    r"\w+ has (\d+) \w+ and \w+ has (\d+)\. How many \w+ do they have together": operator.add,
    r"\w+ finds (\d+) \w+ in the morning and (\d+) in the evening\..* in all\?": operator.add,
    r"\w+ has (\d+) \w+ and eats (\d+) of them\. How many \w+ are left\?": operator.sub,
    r"\w+ has (\d+) dollars and spends (\d+) dollars on \w+\. .* left\?": operator.sub,
    r"A \w+ has (\d+) \w+\. (\d+) of the \w+ are cut\. .* left\?": operator.sub,
    r"\w+ picked (\d+) \w+ and \w+ picked (\d+)\. How many more": operator.sub,
    r"\w+ fills (\d+) \w+ with (\d+) \w+ each\.": operator.mul,
    r"There are (\d+) \w+ with (\d+) \w+ in each\. .* in total\?": operator.mul,
    r"A \w+ has (\d+) rows of \w+ with (\d+) \w+ in each row\.": operator.mul,
    r"Every day \w+ eats (\d+) \w+\. .* in (\d+) days\?": operator.mul,
    r"\w+ shares (\d+) \w+ equally among (\d+) friends\.": operator.floordiv,
    r"\w+ pays (\d+) dollars for (\d+) \w+\. .* each of the": operator.floordiv,
    r"In a \w+, (\d+) \w+ form (\d+) equal teams\.": operator.floordiv,
    r"(\d+) \w+ stand in (\d+) equal rows in a \w+\.": operator.floordiv,
}
NAMES = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}


@pytest.fixture(scope="module")
def everything():
    return {split: word_problems(split, None, 0) for split in SPLITS}


def test_every_answer_is_what_its_wording_asks_for(everything):
    wordings_of_template = {}
    for problem in [p for split in SPLITS for p in everything[split]]:
        matching = [w for w in WORDINGS if re.match(w, problem.text)]
        assert len(matching) == 1, problem.text
        numbers = [int(n) for n in re.findall(r"\d+", problem.text)]
        assert [int(n) for n in re.match(matching[0], problem.text).groups()] == numbers
        operation = WORDINGS[matching[0]]
        assert problem.answer == str(operation(*numbers)), problem.text
        assert NAMES.get(problem.metadata["operation"], operator.floordiv) is operation
        assert operation is not operator.floordiv or numbers[0] % numbers[1] == 0, problem.text
        wordings_of_template.setdefault(problem.metadata["template"], set()).add(matching[0])
    assert sorted(w for ws in wordings_of_template.values() for w in ws) == sorted(WORDINGS)


def test_numbers_are_small_and_every_noun_plural(everything):
    for problem in everything["train"]:
        numbers = [int(n) for n in re.findall(r"\d+", problem.text)]
        biggest = {"add": 10, "subtract": 12, "multiply": 6, "divide": 36}
        assert min(*numbers, int(problem.answer)) >= 2
        assert max(numbers) <= biggest[problem.metadata["operation"]]
        assert "{" not in problem.text


def test_the_pool_is_large_distinct_and_fixed(everything):
    sizes = {split: len(problems) for split, problems in everything.items()}
    assert sum(sizes.values()) == 16 * 1250
    assert sizes["train"] == pytest.approx(16_000, abs=250)
    assert sizes["validation"] == pytest.approx(2_000, abs=200)
    assert sizes["test"] == pytest.approx(2_000, abs=200)
    problems = [p for split in SPLITS for p in everything[split]]
    assert len({normalise(p.text) for p in problems}) == len({p.id for p in problems}) == 20_000


def test_splits_are_disjoint_whatever_the_seed():
    seen = {split: set() for split in SPLITS}
    for split in SPLITS:
        for seed in range(25):
            drawn = word_problems(split, 200, seed)
            assert len({p.id for p in drawn}) == 200
            seen[split] |= {normalise(p.text) for p in drawn}
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


def test_seeds_draw_differently_and_longer_draws_extend_shorter_ones():
    drawn = word_problems("train", 60, 3)
    assert word_problems("train", 200, 3)[:60] == drawn
    assert word_problems("train", 60, 4) != drawn


def test_operations_are_balanced():
    counts = Counter(p.metadata["operation"] for p in word_problems("validation", 62, 1))
    assert counts == {"add": 16, "subtract": 16, "multiply": 15, "divide": 15}


def test_frozen_first_problems():
    assert word_problems("train", 3, 0) == [
        Problem(
            "word-problems/fb571064ba6a",
            "Ana has 9 stamps and gets 10 more. How many stamps does Ana have now?",
            "19",
            "word-problems",
            "math",
            {"template": "gets-more", "operation": "add"},
        ),
        Problem(
            "word-problems/54638dcb1a8a",
            "Ivy has 10 eggs and eats 6 of them. How many eggs are left?",
            "4",
            "word-problems",
            "math",
            {"template": "eats", "operation": "subtract"},
        ),
        Problem(
            "word-problems/4f7b71c5e003",
            "Every day Mia eats 3 pears. How many pears does Mia eat in 3 days?",
            "9",
            "word-problems",
            "math",
            {"template": "every-day", "operation": "multiply"},
        ),
    ]
    assert [p.answer for p in word_problems("validation", 3, 0)] == ["13", "5", "8"]
    assert word_problems("test", 4, 0)[3].text == (
        "12 students stand in 6 equal rows in a hall. How many students are in each row?"
    )


def test_unknown_split_and_too_many():
    with pytest.raises(UserError, match=r"problems\.test\.split 'tset' .*Did you mean 'test'\?"):
        word_problems("tset", 1, 0, "problems.test")
    with pytest.raises(UserError, match=r"word-problems\.limit asks for 50000 .* has \d+;"):
        word_problems("train", 50_000, 0)
