"""What the microscope's figures draw, against numbers counted by hand."""

import numpy as np
import pytest

from reasonmaxxer.report import figures
from reasonmaxxer.report.figures.style import BLUE, ON, ORANGE


def estimate(value, low=None, high=None):
    low, high = value if low is None else low, value if high is None else high
    return {"value": value, "low": low, "high": high}


def heights(axes):
    return [(p.get_x() + p.get_width() / 2, p.get_height()) for p in axes.patches]


def test_class_shares_are_bars_with_intervals():
    shares = (estimate(0.8, 0.7, 0.9), estimate(0.15, 0.1, 0.2), estimate(0.05, 0.0, 0.1))
    keys = ("agreement", "reranked_share", "shifted_share")
    [axes] = figures.class_shares(dict(zip(keys, shares, strict=True))).axes
    assert [bar.get_width() for bar in axes.patches] == [0.8, 0.15, 0.05]
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[0.7, 0.9], [0.1, 0.2], [0.0, 0.1]]
    assert [text.get_text() for text in axes.texts] == ["80.00%", "15.00%", "5.00%"]


def test_ranks_are_shares_of_the_positions_that_differ():
    names = [*(str(rank) for rank in range(2, 11)), ">10"]
    forward = dict.fromkeys(names, 0) | {"2": 3, "6": 1}
    backward = dict.fromkeys(names, 0) | {"3": 2, ">10": 2}
    [axes] = figures.choice_ranks({"forward": forward, "backward": backward}).axes
    ours, theirs = ([bar.get_height() for bar in c] for c in axes.containers)
    assert (ours[0], ours[4], sum(ours)) == (0.75, 0.25, 1.0)
    assert (theirs[1], theirs[-1], sum(theirs)) == (0.5, 0.5, 1.0)
    [border] = [line.get_xdata()[0] for line in axes.get_lines()]
    assert border == 3.5  # between the places of ranks 5 and 6


def test_entropies_are_shares_of_their_own_class_with_their_means():
    same, other = np.array([0.0, 0.0, 0.2, 2.0]), np.array([1.0, 2.0])
    [axes] = figures.entropy_by_class(same, other).axes
    totals = [patch.get_data().values.sum() for patch in axes.patches]
    assert totals == pytest.approx([1, 1, 1, 1])  # filled and outlined, of either class
    assert [line.get_xdata()[0] for line in axes.get_lines()] == pytest.approx([0.55, 1.5])
    assert "<svg" in figures.svg(figures.entropy_by_class(same, other[:0]), "none-differ")


def test_tenths_are_drawn_against_an_even_spread():
    tenths = [estimate(0.1 + 0.01 * n, 0.0, 0.3) for n in range(10)]
    [axes] = figures.divergence_by_tenth(tenths).axes
    assert np.allclose(heights(axes), [(n, 0.1 + 0.01 * n) for n in range(10)])
    assert axes.get_lines()[-1].get_ydata()[0] == 0.1


GATE = {
    "base_rate": 0.25,
    "curve": [
        {"tau": 0.0, "share": 1.0, "precision": 0.25, "recall": 1.0},
        {"tau": 1.2, "share": 0.5, "precision": 0.5, "recall": 0.75},
        {"tau": 3.0, "share": 0.0, "precision": None, "recall": 0.0},
    ],
}


def test_a_gate_that_lets_nothing_through_has_no_precision():
    [axes] = figures.gate_threshold(GATE).axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["recall"].get_ydata().tolist() == [1.0, 0.75, 0.0]
    assert lines["precision"].get_xdata().tolist() == [0.0, 1.2]
    assert lines["let through"].get_ydata().tolist() == [1.0, 0.5, 0.0]


def test_precision_against_recall_marks_the_papers_threshold():
    [axes] = figures.gate_precision_recall(GATE).axes
    curve, chance, marked = axes.get_lines()
    assert curve.get_xydata().tolist() == [[1.0, 0.25], [0.75, 0.5]]
    assert chance.get_ydata()[0] == 0.25
    assert marked.get_xydata().tolist() == [[0.75, 0.5]]


def policy(name, value, construction=False):
    return {
        "name": name, "policy": name.partition(":")[0], "by_construction": construction,
        "accuracy": estimate(value, value - 0.1, value + 0.1),
    }  # fmt: skip


def test_controls_look_different_and_identities_are_hollow():
    rows = [
        policy("base", 0.2), policy("tuned", 0.6), policy("oracle", 0.6, True), policy("gated", 0.5),
        policy("random", 0.1),
    ]  # fmt: skip
    [axes] = figures.interventions_accuracy(rows).axes
    markers = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]
    assert [line.get_marker() for line in markers] == ["o", "o", "o", "o", "s"]
    assert [line.get_markerfacecolor() for line in markers[2:]] == [ON, BLUE, ORANGE]
    references = [line.get_xdata()[0] for line in axes.get_lines()[-2:]]
    assert references == [0.2, 0.6]
    assert [text.get_text() for text in axes.texts] == ["0.20", "0.60", "0.60", "0.50", "0.10"]


def test_chance_is_drawn_beside_what_is_observed():
    def measures(jaccard, same):
        return {"jaccard": estimate(jaccard), "same_token_share": estimate(same)}

    found = {**measures(0.4, 0.3), "chance": {"entropy": measures(0.2, 0.1), "random": measures(0, None)}}
    [axes] = figures.overlap_and_chance(found).axes
    drawn = [(line.get_marker(), line.get_xdata()[0]) for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert drawn == [("o", 0.4), ("s", 0.2), ("D", 0), ("o", 0.3), ("s", 0.1)]


def test_students_stand_at_their_size_between_base_and_teacher():
    rows = [
        {"name": name, "parameters": size, "accuracy": estimate(value)}
        for name, size, value in (
            ("base", None, 0.2), ("teacher", 10**8, 0.6), ("qkvo-32", 8 * 10**6, 0.5), ("o-8", 10**6, 0.4),
        )
    ]  # fmt: skip
    [axes] = figures.accuracy_by_parameters(rows).axes
    drawn = {
        line.get_label(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }
    assert drawn == {"qkvo-32": (8 * 10**6, 0.5), "o-8": (10**6, 0.4)}
    assert [line.get_ydata()[0] for line in axes.get_lines()[-2:]] == [0.2, 0.6]
    ticks = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
    assert "1 M" in ticks
