"""Scores of benchmarks, the published table, and what a protocol holds."""

from dataclasses import replace

import numpy as np
import pytest

from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.measure.metrics import bootstrap, bootstrap_average
from reasonmaxxer.measure.protocol import problems_hash
from reasonmaxxer.measure.published import published_costs, published_scores
from reasonmaxxer.measure.rollouts import wrong_by_kind
from reasonmaxxer.measure.suite import measure, specimens
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.table import Rollout

BASES = ("Qwen2.5-1.5B", "Qwen2.5-7B", "Qwen2.5-Math-7B", "Qwen2.5-32B", "Mistral-7B-v0.1",
         "R1-Distill-Qwen-1.5B", "Qwen3-0.6B", "Qwen3-4B")  # fmt: skip


def problem(n, **metadata):
    return Problem(f"p{n}", f"{n}?", str(n), "d", metadata=metadata)


def rollout(n, outcome, index=0, tokens=3):
    reason = "length" if outcome == "unparsed" else "stop"
    return Rollout(f"p{n}", index, 0, [1], [1] * tokens, f"{n}{outcome}", reason, None, None, outcome,
                   None, "e", "1")  # fmt: skip


def config(**more):
    return SuiteConfig(problems=[{"source": "a.jsonl"}], bootstrap=500, **more)


def ungraded(answers):
    assert not answers  # these rollouts have none
    return []


def test_a_benchmark_by_hand():
    problems = [problem(0, level=2), problem(1, level=1), problem(2, level=1)]
    outcomes = {0: ("correct", "wrong"), 1: ("unparsed", "wrong"), 2: ("correct", "correct")}
    rollouts = [rollout(n, o, i) for n, of in outcomes.items() for i, o in enumerate(of)]
    found = measure(problems, rollouts, config(samples=2, ks=(1, 2)), ungraded)
    assert found["accuracy"]["value"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert [(row["k"], row["value"]) for row in found["pass_at"]] == [
        (1, pytest.approx(0.5)), (2, pytest.approx(2 / 3))
    ]  # fmt: skip
    assert [(p["name"], p["n"], p["value"]) for p in found["by"]["level"]] == [
        ("1", 2, 0.5), ("2", 1, 0.5)
    ]  # fmt: skip
    assert found["maj_at"][0]["k"] == 2 and found["maj_at"][0]["value"] == pytest.approx(2 / 3)  # 1, 0 and 1
    assert list(found["by"]) == ["level"]
    assert found["outcomes"] == {"correct": 3, "unparsed": 1, "wrong": 2}
    assert found["truncated_share"] == pytest.approx(1 / 6) and found["mean_tokens"] == 3


def test_wrong_programs_are_counted_by_what_they_raised():
    details = ["NameError: name 'y'", "AssertionError: assert f(2) == 4", "AssertionError: ", "not evaluated: eval",
               None, f"{'E' * 61}: too long a name", "AssertionError: graded later"]  # fmt: skip
    rollouts = [replace(rollout(n, "wrong"), detail=detail) for n, detail in enumerate(details)]
    rollouts[-1] = replace(rollouts[-1], outcome="timeout")
    assert wrong_by_kind(rollouts) == {"AssertionError": 2, "NameError": 1}
    found = measure([problem(n) for n in range(7)], rollouts, config(), ungraded)
    assert found["wrong_by_kind"] == {"AssertionError": 2, "NameError": 1} and found["outcomes"]["wrong"] == 6
    assert "wrong_by_kind" not in measure([problem(0)], [rollout(0, "wrong")], config(), ungraded)


def test_programs_and_answers_that_only_a_function_reads_do_not_vote():
    rollouts = [rollout(0, "correct", 0), rollout(0, "wrong", 1)]
    for asked, more in ((replace(problem(0), verifier="code"), {}), (problem(0), {"verify": {"function": "f.py:f"}})):
        assert "maj_at" not in measure([asked], rollouts, config(samples=2, ks=(1, 2), **more), ungraded)


def test_problems_without_a_part_make_one_of_their_own():
    problems = [problem(0, subject="a"), problem(1)]
    found = measure(problems, [rollout(0, "correct"), rollout(1, "wrong")], config(), ungraded)
    assert [(p["name"], p["value"]) for p in found["by"]["subject"]] == [("a", 1.0), ("not given", 0.0)]


def test_specimens_are_the_first_of_each_outcome():
    rollouts = [rollout(0, "wrong"), rollout(1, "correct"), rollout(2, "wrong")]
    shown = specimens([problem(n) for n in range(3)], rollouts)
    assert [(one["problem_id"], one["outcome"], one["answer"]) for one in shown] == [
        ("p0", "wrong", "0"), ("p1", "correct", "1")
    ]  # fmt: skip


def test_the_hash_is_of_texts_and_answers_in_order():
    a, b = problem(0), problem(1)
    assert problems_hash([a, b]) != problems_hash([b, a])
    assert problems_hash([a]) == problems_hash([Problem("other", "0?", "0", "x")])
    assert problems_hash([a]) != problems_hash([Problem("p0", "0?", "00", "d")])


def test_an_average_counts_sets_alike():
    small, large = np.array([1.0, 0.0]), np.zeros(50)
    found = bootstrap_average([small, large], 20_000, 0.95, 0)
    assert found["value"] == 0.25 and found["n"] == 52
    # the mean of `small` is 0, 1/2 or 1 with chances 1/4, 1/2, 1/4; half of it is the average
    assert (found["low"], found["high"]) == (0.0, 0.5)
    alone = bootstrap_average([small], 500, 0.9, 3)
    assert alone == bootstrap(small, 500, 0.9, 3)
    with pytest.raises(ValueError, match="no problems"):
        bootstrap_average([small, np.array([])], 10, 0.9, 0)


@pytest.mark.parametrize("sets", [2, 6])
def test_an_average_of_independent_sets_is_narrower(sets):
    values = [np.arange(40) % 2 for _ in range(sets)]
    one = bootstrap(values[0], 4000, 0.95, 0)
    several = bootstrap_average(values, 4000, 0.95, 0)
    # the interval shrinks as one over the root of their number; draws that were the same would not
    assert (several["high"] - several["low"]) == pytest.approx((one["high"] - one["low"]) / sets**0.5, rel=0.2)


def test_published_scores_have_the_averages_that_are_printed():
    rows = {base: [row for row in published_scores(base) if "Table 3" in row.source] for base in BASES}
    assert sum(len(of) for of in rows.values()) == 30
    trained = [row for of in rows.values() for row in of if row.method != "base"]
    assert published_costs() == trained and all(row.usd > 0 for row in trained)
    for row in trained:
        assert row.average == pytest.approx(row.printed, abs=0.0006), row


def test_a_base_is_known_by_the_last_part_of_its_name():
    for name in ("Qwen/Qwen2.5-1.5B", "models/qwen2.5-1.5b/", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"):
        assert published_scores(name)[0].method == "base"
    assert published_scores("Qwen/Qwen2.5-1.5B")[3].scores == {
        "gsm8k": 0.710, "math500": 0.502, "minerva": 0.114, "olympiadbench": 0.167, "aime24": 0.029,
        "amc23": 0.169,
    }  # fmt: skip
    assert published_scores("Qwen/Qwen2.5-1.5B-Chat") == published_scores("smollm2") == []


def test_scores_on_code_are_of_the_instruct_models_and_another_paper():
    scores = {
        "0.5": {"humaneval": 0.616, "humaneval-plus": 0.573, "mbpp": 0.524, "mbpp-plus": 0.437},
        "1.5": {"humaneval": 0.707, "humaneval-plus": 0.665, "mbpp": 0.692, "mbpp-plus": 0.594},
    }
    for size, printed in scores.items():
        for name in (f"Qwen/Qwen2.5-Coder-{size}B-Instruct", f"qwen2.5-coder-{size}b"):
            (row,) = published_scores(name)
            assert (row.method, row.scores, row.usd) == ("base", printed, None)
            assert row.to_dict()["source"].startswith("arXiv 2409.12186, Table 16")
        # the base model of that name is not the embedded one, which is the Instruct model
        assert published_scores(f"Qwen/Qwen2.5-Coder-{size}B") == []
