"""Summaries on scores made by hand, every figure worked out beside it."""

from dataclasses import fields

import numpy as np
import pytest

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import bootstrap_statistic
from reasonmaxxer.microscope.diff import flat, lengths, positions_table
from reasonmaxxer.microscope.gates import gate_curve
from reasonmaxxer.microscope.joint import JointScores
from reasonmaxxer.microscope.summary import summarise
from reasonmaxxer.rollouts.table import Rollout

CONFIG = MicroscopeConfig(bootstrap=500)
TWO_WIDE = {name for name in (f.name for f in fields(JointScores)) if name.endswith("_NK")}


def scores(**columns):
    """Scores of one text: what is given, and zeros."""
    count = len(next(iter(columns.values())))
    values = {
        f.name: np.zeros((count, 5) if f.name in TWO_WIDE else count, dtype=np.float32) for f in fields(JointScores)
    }
    for name in ("kind_N", "base_rank_N", "tuned_rank_N", "forward_rank_N", "backward_rank_N"):
        values[name] = values[name].astype(np.int32)
    for name in ("base_top_NK", "tuned_top_NK"):
        values[name] = values[name].astype(np.int32)
    for name, given in columns.items():
        if name in ("base_choice", "tuned_choice"):
            values[f"{name.partition('_')[0]}_top_NK"][:, 0] = given
        else:
            values[name] = np.array(given, dtype=values[name].dtype)
    return JointScores(**values)


def rollout(problem, ids, outcome="wrong"):
    return Rollout(problem, 0, 0, [1], list(ids), "", "stop", None, None, outcome, None, "transformers", "1")


def table():
    first = scores(
        kind_N=[0, 1, 0, 2],
        base_entropy_N=[0.2, 2.0, 0.4, 3.0],
        forward_rank_N=[1, 2, 1, 9],
        backward_rank_N=[1, 3, 1, 4],
        jsd_N=[0.0, 0.3, 0.1, 0.4],
        overlap_N=[1.0, 0.5, 0.9, 0.4],
        base_choice=[7, 7, 8, 9],
        tuned_choice=[7, 8, 8, 5],
    )
    second = scores(
        kind_N=[0, 1],
        base_entropy_N=[0.6, 1.0],
        forward_rank_N=[1, 3],
        backward_rank_N=[1, 2],
        jsd_N=[0.0, 0.2],
        overlap_N=[1.0, 0.2],
        base_choice=[7, 7],
        tuned_choice=[7, 8],
    )
    texts = [rollout("a", [7, 7, 8, 9]), rollout("b", [7, 7], "correct")]
    return positions_table(texts, [first, second])


PIECES = {5: "five", 7: "seven", 8: "eight", 9: "nine"}


def test_every_figure_by_hand():
    found = summarise(table(), PIECES, CONFIG)
    values = {
        "agreement": 3 / 6,
        "reranked_share": 2 / 6,
        "shifted_share": 1 / 6,
        "entropy_ratio": (3.0 / 2) / (1.2 / 3),  # reranked 2.0 and 1.0, unshifted 0.2 0.4 0.6
        "reranked_entropy": 1.5,
        "unshifted_entropy": 0.4,
        "mean_rank": (2 + 9 + 3) / 3,
        "mean_backward_rank": (3 + 4 + 2) / 3,
        "mean_jsd": 1.0 / 6,
        "changed_jsd_share": 0.9,
        "sampled_agreement": 4.0 / 6,
    }
    for name, value in values.items():
        assert found[name]["value"] == pytest.approx(value, rel=1e-6), name
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"], name
    assert (found["problems"], found["texts"], found["positions"]) == (2, 2, 6)
    assert found["ranks"]["forward"] == {
        "2": 1, "3": 1, "4": 0, "5": 0, "6": 0, "7": 0, "8": 0, "9": 1, "10": 0, ">10": 0
    }  # fmt: skip
    assert found["tokens"]["promoted"][0] == {"id": 8, "token": "eight", "count": 2}
    assert found["tokens"]["demoted"] == [
        {"id": 7, "token": "seven", "count": 2}, {"id": 9, "token": "nine", "count": 1}
    ]  # fmt: skip
    assert found["tokens"]["swapped"][0]["count"] == 2
    # four tokens fall on tenths 0, 2, 5 and 7 of the first text, two on 0 and 5 of the second
    shares = [tenth["value"] for tenth in found["jsd_by_tenth"]]
    assert shares == pytest.approx([0, 0, 0.3, 0, 0, 0.1 + 0.2, 0, 0.4, 0, 0], abs=1e-6)
    assert found["by_outcome"]["correct"]["agreement"]["value"] == 0.5
    assert found["by_outcome"]["wrong"]["positions"] == 4


def test_the_intervals_resample_problems():
    found = summarise(table(), PIECES, CONFIG)["agreement"]
    # two problems, both 1/2 agreed: every resample of them is the same
    assert (found["low"], found["high"]) == (0.5, 0.5)
    shifted = summarise(table(), PIECES, CONFIG)["shifted_share"]
    assert (shifted["low"], shifted["high"]) == (0.0, 0.25)  # only "b" and only "a"


def test_models_that_never_differ_leave_ratios_open():
    same = scores(kind_N=[0, 0], base_entropy_N=[0.1, 0.3], forward_rank_N=[1, 1])
    found = summarise(positions_table([rollout("a", [7, 7])], [same]), PIECES, CONFIG)
    assert found["agreement"]["value"] == 1
    for name in ("entropy_ratio", "mean_rank", "changed_jsd_share"):
        assert found[name] == {"value": None, "low": None, "high": None}, name
    assert found["gate"]["auc"]["value"] is None
    assert found["tokens"] == {"promoted": [], "demoted": [], "swapped": []}


def test_the_gate_by_hand():
    entropy = np.array([3.0, 2.0, 2.0, 1.0, 0.5], dtype=np.float32)
    changed = np.array([True, True, False, False, True])
    found = gate_curve(entropy, changed, np.array([0, 0, 1, 1, 1]), CONFIG)
    # of the 3 x 2 pairs, the changed position is above in 1+1+1+... : 3.0 beats 2, 2.0 beats 1 and ties 1
    assert found["auc"]["value"] == pytest.approx((2 + 1.5 + 0) / 6)
    # steps of recall at 3.0, 2.0 and 0.5: 1/3 each, precision 1, 2/3 and 3/5
    assert found["average_precision"]["value"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    by_tau = {point["tau"]: point for point in found["curve"]}
    assert by_tau[1.2] == {"tau": 1.2, "share": 3 / 5, "precision": 2 / 3, "recall": 2 / 3}
    assert by_tau[3.0]["precision"] is None and by_tau[3.0]["recall"] == 0
    assert found["base_rate"] == 0.6


def test_flat_columns_keep_the_order():
    made = table()
    assert lengths(made).tolist() == [4, 2]
    assert flat(made, "kind").tolist() == [0, 1, 0, 2, 0, 1]
    assert flat(made, "tuned_top")[:, 0].tolist() == [7, 8, 8, 5, 7, 8]


def test_a_ratio_over_problems_is_that_of_enumerated_resamples():
    sums = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    found = bootstrap_statistic(sums, lambda s: s[..., 0] / s[..., 1], 20_000, 0.9, 0)
    every = [sum(sums[list(p)]) for p in np.ndindex(3, 3, 3)]
    ratios = np.sort([a / b for a, b in every])
    assert found["value"] == 4 / 7
    np.testing.assert_allclose([found["low"], found["high"]], np.quantile(ratios, [0.05, 0.95]), atol=0.03)
