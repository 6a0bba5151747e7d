import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.config import ProblemsConfig, SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, load_problems, load_samples, load_splits, normalise
from reasonmaxxer.problems.draw import shuffled, stratified


@pytest.fixture
def numbered(tmp_path):
    """Writes a file of the problems `What is N plus one?` and names it as a source."""

    def write(name, numbers, **columns):
        path = tmp_path / name
        rows = (
            {"problem": f"What is {n} plus one?", "answer": n + 1}
            | {column: value(n) for column, value in columns.items()}
            for n in numbers
        )
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def config(train, validation, test):
    sources = {"train": train, "validation": validation, "test": test}
    return ProblemsConfig(**{name: SourceConfig(**fields) for name, fields in sources.items()})


def ids(problems):
    return [int(p.id.rpartition("/")[2]) for p in problems]


def test_no_limit_takes_all_in_order(numbered):
    source = SourceConfig(source=numbered("a.jsonl", range(20)))
    assert ids(load_problems(source, 5, "problems.train")) == list(range(20))


def test_limit_draws_by_seed(numbered):
    path = numbered("a.jsonl", range(200))
    drawn = {seed: ids(load_problems(SourceConfig(source=path, limit=50), seed, "w")) for seed in (0, 1)}
    assert len(set(drawn[0])) == 50 and drawn[0] != sorted(drawn[0])
    assert drawn[0] != drawn[1]
    assert ids(load_problems(SourceConfig(source=path, limit=80), 0, "w"))[:50] == drawn[0]
    whole = ids(load_problems(SourceConfig(source=path, limit=200), 0, "w"))
    assert sorted(whole) == list(range(200))


def test_the_draw_has_no_favourites(numbered):
    path = numbered("a.jsonl", range(20))
    source = SourceConfig(source=path, limit=5)
    hits = [0] * 20
    for seed in range(400):
        for number in ids(load_problems(source, seed, "w")):
            hits[number] += 1
    # Each is binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert min(hits) > 60 and max(hits) < 140


@pytest.mark.parametrize(
    "fields", [{"source": "word-problems"}, {"source": "reasoning-gym/gcd"}, {"source": "a.jsonl"}]
)
def test_a_seed_of_the_source_wins(numbered, monkeypatch, fields, tmp_path):
    numbered("a.jsonl", range(100))
    monkeypatch.chdir(tmp_path)
    fixed = SourceConfig(**fields, limit=10, seed=7)
    free = SourceConfig(**fields, limit=10)
    assert load_problems(fixed, 1, "w") == load_problems(fixed, 2, "w")
    assert load_problems(fixed, 1, "w") == load_problems(free, 7, "w")
    assert load_problems(free, 1, "w") != load_problems(free, 2, "w")


def test_too_few(numbered):
    source = SourceConfig(source=numbered("a.jsonl", range(20)), limit=21)
    with pytest.raises(UserError, match=r"problems\.test\.limit asks for 21 .*source has 20;"):
        load_problems(source, 0, "problems.test")
    with pytest.raises(UserError, match=r"problems\.train\.split 'dev' is unknown"):
        load_problems(SourceConfig(split="dev"), 0, "problems.train")


def test_default_splits_are_disjoint_and_of_the_asked_size():
    for seed in (0, 1, 42):
        splits = load_splits(ProblemsConfig(), seed)
        assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [60, 50, 100]
        problems = [*splits.train, *splits.validation, *splits.test]
        assert len({p.id for p in problems}) == len({normalise(p.text) for p in problems}) == 210
    assert load_splits(ProblemsConfig(), 0).test == load_splits(ProblemsConfig(), 1).test
    assert load_splits(ProblemsConfig(), 0).train != load_splits(ProblemsConfig(), 1).train


def test_three_sources(numbered):
    splits = load_splits(
        config(
            {"source": numbered("a.jsonl", range(5))},
            {"source": numbered("b.jsonl", range(5, 8))},
            {"source": "reasoning-gym/gcd", "split": "test", "limit": 4},
        ),
        0,
    )
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [5, 3, 4]
    assert splits.validation[0].text == "What is 5 plus one?"


@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 2), (1, 2)])
def test_shared_text_is_refused_between_any_two(tmp_path, numbered, one, other):
    paths = [numbered(f"{n}.jsonl", range(10 * n, 10 * n + 10)) for n in range(3)]
    extra = [{"problem": f" WHAT is {10 * one + n} plus  one", "answer": "0"} for n in (3, 4)]
    with Path(paths[other]).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in extra)
    names = ("train", "validation", "test")
    with pytest.raises(
        UserError,
        match=rf"problems\.{names[one]} and problems\.{names[other]} share 2 problems by text, "
        rf"such as '{one}/3' \('What is {10 * one + 3} plus one\?'\); drop them",
    ):
        load_splits(config(*({"source": path} for path in paths)), 0)


def test_shared_ids_are_refused(numbered):
    a = numbered("a.jsonl", range(10), id=lambda n: f"x/{n}")
    b = numbered("b.jsonl", range(10, 20), id=lambda n: f"x/{n - 1}")
    c = numbered("c.jsonl", range(20, 30))
    with pytest.raises(
        UserError,
        match=r"problems\.train and problems\.validation share 1 problems by id, such as 'x/9' "
        r".*id_column",
    ):
        load_splits(config({"source": a}, {"source": b}, {"source": c}), 0)


def test_a_draw_and_the_whole_of_one_file_are_refused_with_the_remedy(numbered):
    a, b = numbered("a.jsonl", range(30)), numbered("b.jsonl", range(30, 40))
    with pytest.raises(
        UserError,
        match=r"problems\.train and problems\.test share \d+ .*both draw from '.*a\.jsonl', so use "
        r"distinct files or splits",
    ):
        load_splits(config({"source": a}, {"source": b}, {"source": a, "limit": 20}), 0)


def test_draws_of_one_file_share_no_problem(numbered):
    a = numbered("a.jsonl", range(30))
    draws = ({"source": a, "limit": 20}, {"source": a, "limit": 4}, {"source": a, "limit": 6})
    splits = load_splits(config(*draws), 0)
    drawn = [{p.id for p in split} for split in (splits.train, splits.validation, splits.test)]
    assert [len(ids) for ids in drawn] == [20, 4, 6]
    assert len(set().union(*drawn)) == 30
    again = load_splits(config({"source": a, "limit": 20, "seed": 7}, *draws[1:]), 0)
    assert again.validation == splits.validation and again.test == splits.test
    with pytest.raises(UserError, match=r"problems\.train\.limit asks for 21 problems .* 20"):
        load_splits(config({"source": a, "limit": 21}, *draws[1:]), 0)


def test_repeated_ids_within_a_split_are_refused(numbered):
    a = numbered("a.jsonl", range(10), id=lambda n: n // 2 if n < 4 else n)
    b, c = numbered("b.jsonl", range(10, 20)), numbered("c.jsonl", range(20, 30))
    with pytest.raises(UserError, match=r"problems\.test: 2 ids occur more than once, such as '0'; .*id_column"):
        load_splits(config({"source": b}, {"source": c}, {"source": a}), 0)


def test_repeated_ids_are_refused_outside_a_run_too(numbered):
    source = SourceConfig(source=numbered("a.jsonl", range(4), id=lambda n: n // 2))
    commands = (
        lambda: load_samples([source], 3, 0),  # evaluate
        lambda: load_problems(source, 0, "problems"),  # diff
    )
    for load in commands:
        with pytest.raises(UserError, match=r"2 ids occur more .*'0'; make .*a\.jsonl unique"):
            load()


def test_a_sample_keeps_its_own_limit_and_seed(numbered):
    a = numbered("a.jsonl", range(30))

    def drawn(limit, own, seed=0, own_seed=None):
        (problems,) = load_samples([SourceConfig(source=a, limit=own, seed=own_seed)], limit, seed).values()
        return [p.id for p in problems]

    assert [len(drawn(*limits)) for limits in ((None, None), (None, 5), (3, 5), (7, 5))] == [30, 5, 3, 5]
    assert drawn(5, None, 1, 0) == drawn(5, None, 0) != drawn(5, None, 1)
    words = [SourceConfig(limit=4, seed=0, split="test")]
    assert load_samples(words, None, 9)["word-problems"] == load_problems(words[0], 9, "")  # those of a run


def test_the_package_imports_no_slow_library():
    code = (
        "import sys, reasonmaxxer.problems\n"
        "slow = {'torch', 'datasets', 'reasoning_gym', 'transformers', 'pandas'}\n"
        "print(*slow & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture
def pool():
    """Fifty problems: 30 of level 1, 15 of level 2 and 5 without a level."""
    levels = [{"level": 1}] * 30 + [{"level": 2}] * 15 + [{}] * 5
    made = [Problem(f"p{n}", f"{n}?", "1", "d", metadata=m) for n, m in enumerate(levels)]
    return shuffled(made, 3)


def test_a_stratified_sample_keeps_the_shares(pool):
    for seed in range(3):
        drawn = stratified(pool, 10, seed, "level")
        assert Counter(p.metadata.get("level") for p in drawn) == {1: 6, 2: 3, None: 1}
        assert [p for p in pool if p in drawn] == drawn
        assert drawn == stratified(pool, 10, seed, "level")
    assert stratified(pool, 10, 0, "level") != stratified(pool, 10, 1, "level")
    assert stratified(pool, 50, 0, "level") == pool == stratified(pool, 99, 0, "level")


def test_remainders_go_to_the_largest(pool):
    # 7 of 50: exact shares 4.2, 2.1 and 0.7, so 4, 2 and 1; of 4: 2.4, 1.2 and 0.4, the larger first
    counts = {n: Counter(p.metadata.get("level") for p in stratified(pool, n, 0, "level")) for n in (7, 4)}
    assert counts == {7: {1: 4, 2: 2, None: 1}, 4: {1: 3, 2: 1}}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 9))
def test_no_stratum_is_a_whole_problem_off(levels, count, seed):
    made = [Problem(f"p{n}", f"{n}?", "1", "d", metadata={"level": v}) for n, v in enumerate(levels)]
    drawn = stratified(made, count, seed, "level")
    assert len(drawn) == min(count, len(made))
    for level, size in Counter(levels).items():
        share = size * min(1, count / len(made))
        assert abs(sum(p.metadata["level"] == level for p in drawn) - share) < 1
