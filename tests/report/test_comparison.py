"""Comparisons whose numbers are worked out by hand."""

import json
import re
from dataclasses import replace
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from reasonmaxxer.artifacts import read_json, read_table, write_json, write_table
from reasonmaxxer.cost import StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.arms import Answers, Arm, Point, Run, read_arms
from reasonmaxxer.measure.comparison import compare, cost_to_reach, crossing
from reasonmaxxer.report import comparison
from reasonmaxxer.report.comparison import content, write_comparison
from reasonmaxxer.report.content import Table
from reasonmaxxer.report.render import latex
from reasonmaxxer.work.pages import show

from .made import HOSTILE, edited, make_run

PROBLEMS = ("a", "b", "c", "d")


def cost(amount):
    return StageCost("x", amount, 10.0 * amount, float(amount), 0.0, 0, 0.5 * amount)


def answers(greedy, right=(), drawn=4):
    """Outcomes of the four problems, and right completions of four drawn."""
    return Answers(
        dict(zip(PROBLEMS, map(float, greedy), strict=True)),
        {name: (drawn, c) for name, c in zip(PROBLEMS, right, strict=False)},
        0.25,
    )


def run(adapted, curve, seed=0, rounds=1):
    """`curve`: step, cost and the outcomes of validation problems u and v."""
    points = [
        Point(step, cost(spent), dict(zip("uv", map(float, right), strict=True))) for step, spent, right in curve
    ]
    recipe = {
        "seed": seed,
        "rounds": rounds,
        "problems": {"prompt_style": "chat_template"},
        "training": {"method": "grpo"},
        "evaluation": {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 9},
    }
    model = {"name": "m", "fingerprint": "f"}
    own = answers((0, 0, 0, 0))
    return Run(f"run{seed}", recipe, model, own, adapted, points[-1].cost, cost(1), points)


BASE = Arm("base", [answers((1, 0, 0, 0), (4, 2, 1, 0))], [0], [])


def arm(name, *seeds):
    return Arm(name, [r.adapted for r in seeds], list(range(len(seeds))), list(seeds))


def test_cost_is_read_off_the_curve():
    costs, accuracies = np.array([10.0, 20.0, 40.0]), np.array([0.2, 0.4, 0.8])
    assert cost_to_reach(costs, accuracies, 0.6) == 30.0
    assert cost_to_reach(costs, accuracies, 0.4) == 20.0
    assert cost_to_reach(costs, accuracies, 0.1) == 10.0  # not less: nothing cheaper was tried
    assert cost_to_reach(costs, accuracies, 0.9) == np.inf
    # a curve that falls and rises again: the first time counts
    assert cost_to_reach(costs, np.array([0.6, 0.2, 1.0]), 0.5) == 10.0


@given(st.lists(st.integers(0, 10), min_size=1, max_size=6), st.data())
def test_more_accuracy_never_costs_less(right, data):
    costs = np.arange(1.0, len(right) + 1)
    accuracies = np.array(right) / 10
    low, high = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    assert cost_to_reach(costs, accuracies, low) <= cost_to_reach(costs, accuracies, high)


def test_accuracy_and_paired_differences():
    one = arm("one", run(answers((1, 1, 0, 1)), [(2, 5, (1, 0))]))
    two = arm(
        "two", run(answers((1, 1, 0, 0)), [(2, 5, (1, 0))]), run(answers((0, 1, 1, 0)), [(2, 7, (1, 1))], seed=1)
    )
    base, first, second = compare([BASE, one, two])["arms"]
    assert base["greedy"]["value"] == 0.25
    assert first["greedy"]["value"] == 0.75
    assert first["difference"]["value"] == 0.5
    assert (first["difference"]["gained"], first["difference"]["lost"]) == (2, 0)
    assert first["difference"]["p_value"] == 0.5  # two of two coins on one side, twice
    assert second["greedy"]["by_seed"] == [0.5, 0.5]
    # problem by problem the means over seeds are 0.5, 1, 0.5, 0 and the base's 1, 0, 0, 0
    assert second["difference"]["value"] == pytest.approx(np.mean([-0.5, 1, 0.5, 0]))
    assert -0.5 <= second["difference"]["low"] < second["difference"]["high"] <= 1
    assert "p_value" not in second["difference"]
    assert second["cost"] == {"tokens": 6.0, "flops": 60.0, "seconds": 6.0, "usd": 3.0}


def test_pass_at_k_and_where_the_base_overtakes():
    one = arm("one", run(answers((1, 1, 0, 0), (4, 4, 0, 0)), [(2, 5, (1, 0))]))
    base, first = compare([BASE, one])["arms"]
    # of four completions: 4, 2, 1, 0 are right; pass@2 = 1, 5/6, 1/2, 0 and pass@4 = 1, 1, 1, 0
    assert [row["value"] for row in base["pass_at"]] == pytest.approx([7 / 16, 7 / 12, 3 / 4])
    assert [row["value"] for row in first["pass_at"]] == [0.5, 0.5, 0.5]
    differences = [row["difference"]["value"] for row in first["pass_at"]]
    assert differences == pytest.approx([1 / 16, -1 / 12, -1 / 4])
    assert crossing(first) == 2
    assert crossing({"pass_at": [{"k": 1, "difference": {"value": -0.1}}]}) is None
    named = [{"name": "base", "pass_at": []}, {"name": "SFT", "pass_at": first["pass_at"]}]
    words = comparison.words_of({"arms": named, "protocol": {}, "sampled_problems": 4})
    assert "over problems. The base overtakes SFT at k = 2 (" in words.text("pass-at-k")


def test_arms_without_samples_take_none_from_others():
    one = arm("one", run(answers((1, 1, 0, 0)), [(2, 5, (1, 0))]))
    found = compare([BASE, one])
    assert [len(a["pass_at"]) for a in found["arms"]] == [3, 0]
    assert found["sampled_problems"] == 4


def test_ratio_of_costs_at_equal_accuracy():
    # the first arm is right on one of two at its end, for 20; the rival's curve meets 1/2 at 30
    one = arm("one", run(answers((1, 1, 1, 1)), [(1, 10, (0, 0)), (2, 20, (1, 0))]))
    two = arm("two", run(answers((1, 1, 1, 1)), [(1, 30, (1, 0)), (2, 60, (1, 1))]))
    never = arm("never", run(answers((1, 1, 1, 1)), [(1, 30, (0, 1))]))
    reached, missed = compare([BASE, one, two, never])["ratios"]
    assert (reached["of"], reached["to"], reached["accuracy"]) == ("two", "one", 0.5)
    assert reached["seconds"]["value"] == reached["flops"]["value"] == 1.5
    assert reached["seconds"]["not_reached"] == 0
    # resamples are uu, uv, vu, vv: with uu the first arm is right on all, the last one on none
    assert missed["seconds"]["value"] == 1.5
    assert missed["seconds"]["high"] is None
    assert missed["seconds"]["not_reached"] == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("unpriced", ["one", "two"])
def test_a_cost_without_a_price_is_not_one_that_is_never_reached(unpriced, tmp_path):
    one = run(answers((1, 1, 1, 1)), [(1, 10, (0, 0)), (2, 20, (1, 0))])
    two = run(answers((1, 1, 1, 1)), [(1, 30, (1, 0)), (2, 60, (1, 1))])
    points = {"one": one, "two": two}[unpriced].curve
    points[:] = [replace(point, cost=replace(point.cost, usd=None)) for point in points]
    found = compare([BASE, arm("one", one), arm("two", two)])
    assert "usd" not in found["ratios"][0]
    assert found["ratios"][0]["seconds"]["value"] == 1.5
    write_json(found, tmp_path / "comparison.json")
    (table,) = (t for t in content(tmp_path).tables if t.name == "ratio-table")
    assert table.rows[0][4] == "not priced"


def test_seeds_with_unlike_checkpoints_meet_at_their_ends():
    two = arm(
        "two",
        run(answers((1, 1, 0, 0)), [(1, 1, (0, 0)), (3, 4, (1, 0)), (5, 6, (1, 1))]),
        run(answers((1, 1, 0, 0)), [(3, 2, (0, 0)), (7, 8, (0, 1))], seed=1),
    )
    points = compare([BASE, two])["arms"][1]["curve"]
    assert [(p["step"], p["seconds"], p["value"]) for p in points] == [(3, 3.0, 0.25), (6, 7.0, 0.75)]


def test_seeds_in_rounds_meet_round_by_round_and_stay_where_they_ended():
    two = arm(
        "two",
        run(answers((1, 1, 0, 0)), [(1, 1, (0, 0)), (3, 4, (1, 0)), (5, 6, (1, 1))], rounds=9),
        run(answers((1, 1, 0, 0)), [(3, 3, (0, 0)), (7, 8, (0, 1))], seed=1, rounds=9),
    )
    points = compare([BASE, two])["arms"][1]["curve"]
    expected = [(2, 2.0, 0.0), (5, 6.0, 0.5), (6, 7.0, 0.75)]
    assert [(p["step"], p["seconds"], p["value"]) for p in points] == expected


def test_costs_add_up_to_the_ledger(tmp_path):
    make_run(tmp_path / "a")
    _, made = read_arms([tmp_path / "a"])
    (only,) = made.runs
    summary = read_json(tmp_path / "a" / "summary.json")
    stages = {s["stage"]: s for s in summary["cost"]["stages"]}
    for name in ("tokens", "flops", "seconds"):
        ledger = sum(stages[s][name] for s in ("rollouts", "signal", "training"))
        assert getattr(only.cost, name) + getattr(only.validation, name) == pytest.approx(ledger)
    # the last of four checkpoints, after 8 of 10 units, and rollouts before it
    assert only.cost.tokens == 48 + 80
    assert only.validation.tokens == 20
    assert [(p.step, p.cost.tokens) for p in only.curve] == [(2, 48 + 60), (4, 48 + 80)]
    assert [sum(p.correct.values()) for p in only.curve] == [1, 2]
    # had the other gate been chosen, its own checkpoints would be the curve
    path = tmp_path / "a" / "training" / "stage.json"
    record = read_json(path)
    record["counts"]["gate_number"] = 0
    write_json(record, path)
    _, made = read_arms([tmp_path / "a"])
    assert [(p.step, p.cost.tokens) for p in made.runs[0].curve] == [(2, 48 + 20), (4, 48 + 40)]
    assert [sum(p.correct.values()) for p in made.runs[0].curve] == [1, 1]


def test_seeds_are_one_arm_and_recipes_are_named_by_what_differs(tmp_path):
    drawn_anew = {"train": {"limit": 60, "seed": 9}}
    for name, changes in {
        "a": {}, "b": {"seed": 1, "problems": drawn_anew}, "c": {"signal": {"problems": 8}},
    }.items():  # fmt: skip
        make_run(tmp_path / name, **changes)
    base, first, second = read_arms([tmp_path / n for n in "abc"])
    assert (base.seeds, first.seeds, second.seeds) == ([0, 1], [0, 1], [0])
    assert first.name == "ReasonMaxxer (problems 40)"
    assert second.name == "ReasonMaxxer (problems 8)"


def test_a_run_in_rounds_is_an_arm_of_its_own(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", rounds=3, signal={"gate": {"kind": "share"}}, rollouts={"problems": 2})
    assert [arm.name for arm in read_arms([tmp_path / "a", tmp_path / "b"])[1:]] == [
        "ReasonMaxxer",
        "ReasonMaxxer, 3 rounds",
    ]


def test_runs_that_cannot_be_compared(tmp_path):
    make_run(tmp_path / "a")

    def refused(*names):
        with pytest.raises(UserError) as error:
            read_arms([tmp_path / name for name in names])
        return str(error.value)

    make_run(tmp_path / "hot", evaluation={"temperature": 0.9, "samples": 2, "ks": [1, 2]})
    said = refused("a", "hot")
    assert "evaluation.temperature" in said and "0.6" in said and "0.9" in said
    assert str(tmp_path / "hot") in said
    make_run(tmp_path / "other", seed=1)
    summary = read_json(tmp_path / "other" / "summary.json")
    summary["model"] |= {"name": "another", "fingerprint": "cd"}
    write_json(summary, tmp_path / "other" / "summary.json")
    assert "model (made/model, ab and another, cd)" in refused("a", "other")
    make_run(tmp_path / "few", seed=2)
    shard = tmp_path / "few" / "evaluation" / "base-greedy" / "shard-00000.parquet"
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(shard).slice(1), shard)
    edited(tmp_path / "few")
    assert "test problems (5 problems and 4, such as e0)" in refused("a", "few")
    assert "named twice" in refused("a", "a")
    make_run(tmp_path / "again")
    assert "one seed" in refused("a", "again")
    (tmp_path / "again" / "summary.json").unlink()
    assert "not finished" in refused("a", "again")
    (tmp_path / "none").mkdir()
    assert "not a run directory" in refused("none")


def test_runs_that_were_asked_or_graded_otherwise_cannot_be_compared(tmp_path):
    def refused(one, other):
        with pytest.raises(UserError) as error:
            read_arms([tmp_path / one, tmp_path / other])
        return str(error.value)

    make_run(tmp_path / "a")
    for column, value in (("text", "1 + 1?"), ("answer", "8")):
        make_run(tmp_path / column, seed=1)
        path = tmp_path / column / "problems" / "test.parquet"
        rows = read_table(path).to_pylist()
        rows[1][column] = value
        write_table(pa.Table.from_pylist(rows, schema=read_table(path).schema), path)
        edited(tmp_path / column)
    asked = "test problem e1 (('What is e1?', '7') and "
    assert f"{asked}('1 + 1?', '7'))" in refused("a", "text")
    assert f"{asked}('What is e1?', '8'))" in refused("a", "answer")

    for seed, name in enumerate(("one", "two")):
        make_run(tmp_path / name, seed=seed, verify={"function": "mine.py:grade"})
    assert "verify.function (None and mine.py:grade)" in refused("a", "one")
    read_arms([tmp_path / "one", tmp_path / "two"])
    for name in ("one", "two"):
        claim = tmp_path / name / "workspace.json"
        write_json({**read_json(claim), "contents": {"mine.py": name}}, claim)
    assert "verifier mine.py, which was edited between them (one and two)" in refused("one", "two")


def test_every_file_says_the_same_and_hostile_names_stay_text(tmp_path):
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", seed=1, signal={"problems": 7})
    for name in "ab":
        path = tmp_path / name / "summary.json"
        summary = read_json(path)
        summary["model"]["name"] = HOSTILE
        write_json(summary, path)
    found = write_comparison([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    console = Console(file=StringIO(), width=200)
    show(tmp_path / "out", console)  # as its command did
    assert "comparison.html" in console.file.getvalue()
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    anchors = re.findall(r' id="([^"]*)"', page)
    assert len(anchors) == len(set(anchors)) and set(re.findall(r'href="#([^"]*)"', page)) <= set(anchors)
    value = found["arms"][1]["greedy"]
    cell = f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    for kind in ("html", "md", "tex"):
        text = (tmp_path / "out" / f"comparison.{kind}").read_text(encoding="utf-8")
        assert cell in text.replace("\u00a0", " ")
    write_comparison([tmp_path / "a", tmp_path / "b"], tmp_path / "again")
    again = (tmp_path / "again" / "comparison.html").read_text(encoding="utf-8")
    assert again == page


def test_latex_escapes_what_it_must():
    text = latex(Table("t", "50 % of $x_1$", ("a&b",), [("{~^#\\}",)], "n"))
    assert r"\caption{50 \% of \$x\_1\$. n}" in text
    assert r"a\&b \\" in text
    cell = r"\{\textasciitilde{}\textasciicircum{}\#\textbackslash{}\} \\"
    assert cell in text.splitlines()
