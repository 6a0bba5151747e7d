"""What the figures draw, against numbers counted by hand."""

import re

import numpy as np
import pytest

from reasonmaxxer.method.gate import KINDS, Gate, Kind
from reasonmaxxer.report import figures
from reasonmaxxer.report.figures.style import BLUE, GREY, svg
from reasonmaxxer.report.results import PoolProblem
from reasonmaxxer.report.tables import metric_rows


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high, "n": 100}


SUMMARY = {
    "base": {
        "greedy": {"pass@1": estimate(0.28, 0.19, 0.39)},
        "sampled": {"avg@4": estimate(0.2, 0.1, 0.3), "pass@1": estimate(0.2, 0.1, 0.3)},
    },
    "adapted": {
        "greedy": {"pass@1": estimate(0.54, 0.41, 0.64)},
        "sampled": {"avg@4": estimate(0.4, 0.3, 0.5), "pass@1": estimate(0.4, 0.3, 0.5)},
    },
}


def bars(axes):
    """Left end, lower end, width and height of every bar with an area."""
    rows = [p for p in axes.patches if p.get_width() and p.get_height()]
    return [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in rows]


def test_accuracy_draws_every_metric_once_with_its_interval():
    [axes] = figures.accuracy(SUMMARY).axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["greedy pass@1", "sampled pass@1"]
    drawn = {c.get_label(): c for c in axes.containers}
    for arm, values in (("base", [0.28, 0.2]), ("adapted", [0.54, 0.4])):
        line, _, (interval,) = drawn[arm]
        assert line.get_xdata().tolist() == values
        ends = [[segment[0][0], segment[1][0]] for segment in interval.get_segments()]
        found = [SUMMARY[arm][kind]["pass@1"] for kind in ("greedy", "sampled")]
        np.testing.assert_allclose(ends, [[e["low"], e["high"]] for e in found])
    assert axes.get_xlim()[1] > 0.64


def test_avg_is_drawn_where_no_pass_at_1_says_the_same():
    only = {arm: {"greedy": {}, "sampled": {"avg@4": estimate(0.2, 0.1, 0.3)}} for arm in SUMMARY}
    assert [name for name, _, _ in metric_rows(only)] == ["sampled avg@4"]


def test_changes_stack_to_the_number_of_problems():
    [axes] = figures.changes({"gained": 33, "lost": 7, "both": 21, "neither": 39}).axes
    assert [(x, w) for x, _, w, _ in bars(axes)] == [(0, 21), (21, 33), (54, 7), (61, 39)]
    assert {t.get_text() for t in axes.texts} == {"21", "33", "7", "39"}


def test_outcomes_are_shares_and_only_those_that_occur():
    [axes] = figures.outcomes({"a": {"correct": 1, "wrong": 3}, "b": {"wrong": 10}}).axes
    widths = {(round(y + 0.31), round(x, 6)): round(w, 6) for x, y, w, _ in bars(axes)}
    assert widths == {(0, 0.0): 0.25, (0, 0.25): 0.75, (1, 0.0): 1.0}
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["correct", "wrong"]


def test_pass_rates_count_problems_kept_below_those_left_out():
    pool = [
        PoolProblem("a", 0, 4, False), PoolProblem("b", 2, 4, True), PoolProblem("c", 2, 4, True),
        PoolProblem("d", 2, 4, False), PoolProblem("e", 4, 4, False),
    ]  # fmt: skip
    [axes] = figures.pass_rates(pool).axes
    kept, other = axes.containers
    assert [bar.get_height() for bar in kept] == [0, 0, 2, 0, 0]
    assert [(bar.get_y(), bar.get_height()) for bar in other] == [
        (0, 1), (0, 0), (2, 1), (0, 0), (0, 1),
    ]  # fmt: skip
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0/4", "1/4", "2/4", "3/4", "4/4"]


def test_pass_rates_of_groups_of_many_sizes_keep_never_and_always_apart():
    pool = [
        PoolProblem("a", 0, 64, False), PoolProblem("b", 1, 64, True), PoolProblem("c", 63, 64, True),
        PoolProblem("d", 3, 6, True), PoolProblem("e", 5, 5, False),
    ]  # fmt: skip
    [axes] = figures.pass_rates(pool).axes
    kept, other = axes.containers
    assert [bar.get_height() for bar in kept] == [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert [i for i, bar in enumerate(other) if bar.get_height()] == [0, 11]


ENTROPIES = np.array([0.0, 0.0, 0.5, 2.4, 4.8, 4.8, 4.8, 4.8], dtype=np.float32)


def blue_share(axes):
    return sum(p.get_height() for p in axes.patches if p.get_facecolor()[:3] == rgb(BLUE))


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_entropy_marks_what_passes_the_gate():
    gate = {"kind": "threshold", "tau": 1.0, "decision_share": 5 / 8}
    [axes] = figures.entropy(ENTROPIES, gate, [2.0]).axes
    grey = [p.get_height() for p in axes.patches if p.get_facecolor()[:3] == rgb(GREY)]
    assert sum(grey) == pytest.approx(1)
    assert blue_share(axes) == pytest.approx(5 / 8)
    assert [line.get_xdata()[0] for line in axes.lines] == [1.0, 2.0]
    assert axes.get_title(loc="left") == "entropy above 1.00 nats: 62.5% of tokens"


def test_a_gate_inside_a_bin_cuts_its_bar():
    entropies = np.array([0.01, 0.05, 4.8])  # bins are a tenth wide: the first two share one
    gate = {"kind": "threshold", "tau": 0.03, "decision_share": 2 / 3}
    [axes] = figures.entropy(entropies, gate).axes
    cut = [b for b in bars(axes) if b[0] == 0.03]
    assert cut == [(0.03, 0, pytest.approx(0.07), pytest.approx(2 / 3))]


@pytest.mark.parametrize(("kind", "share", "blue"), [("all", 1.0, 1.0), ("random", 0.3, 0.3)])
def test_gates_without_a_threshold_draw_none(kind, share, blue):
    gate = {"kind": kind, "tau": None, "decision_share": share}
    [axes] = figures.entropy(ENTROPIES, gate).axes
    assert list(axes.lines) == []
    assert blue_share(axes) == pytest.approx(blue)


def test_a_gate_that_lets_all_or_nothing_through():
    for tau, share in ((-1.0, 1.0), (9.0, 0.0)):
        gate = {"kind": "threshold", "tau": tau, "decision_share": share}
        [axes] = figures.entropy(ENTROPIES, gate).axes
        assert blue_share(axes) == pytest.approx(share)
    assert Gate("share", -1.0, 1.0).words == "every position"


def test_a_kind_of_gate_is_drawn_by_what_it_lets_through(monkeypatch):
    """The least entropic positions, whose kind the figure has never heard of."""
    below = Kind(lambda *_: None, lambda gate, entropy_T, _: entropy_T < gate.tau, "entropy below {tau:.1f} nats")
    monkeypatch.setitem(KINDS, "below", below)
    [axes] = figures.entropy(ENTROPIES, {"kind": "below", "tau": 1.0, "decision_share": 3 / 8}).axes
    assert blue_share(axes) == pytest.approx(3 / 8)
    assert axes.get_title(loc="left") == "entropy below 1.0 nats: 37.5% of tokens"


def test_cost_bars_are_the_seconds():
    [axes] = figures.cost([{"stage": "a", "seconds": 3.0}, {"stage": "b", "seconds": 90.0}]).axes
    assert [width for _, _, width, _ in bars(axes)] == [3.0, 90.0]
    assert [t.get_text().strip() for t in axes.texts] == ["3.0 s", "1.5 min"]


def test_drawings_are_the_same_each_time_and_follow_the_theme():
    one, two = (svg(figures.accuracy(SUMMARY), "accuracy") for _ in range(2))
    assert one == two
    assert "var(--blue)" in one and BLUE not in one
    assert one.startswith("<svg") and "<text" in one and "<style" not in one
    other = svg(figures.accuracy(SUMMARY), "other")
    ids = [set(re.findall(r' id="([^"]*)"', drawing)) for drawing in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
