"""Overlap of edits on choices made by hand, and its chance levels against what they tend to."""

import numpy as np
import pytest

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.microscope import overlap
from reasonmaxxer.microscope.overlap import TOKEN_CLASSES, Trio, chance, summarise_overlap, token_class
from tests.microscope.test_summary import scores

CONFIG = MicroscopeConfig(bootstrap=200)


def trio(base, a, b, *, entropy=None, problems=None, second=None):
    """Choices of the three models by position; A's next best is `second`, or token 99."""
    base, a, b = (np.array(x) for x in (base, a, b))
    count = len(base)
    entropy = np.ones(count) if entropy is None else np.array(entropy)

    def pair(one, other):
        made = scores(
            kind_N=(one != other) * 1,
            forward_rank_N=1 + (one != other),
            base_choice=one,
            tuned_choice=other,
            base_entropy_N=entropy,
            jsd_N=(one != other) * 0.5,
        )
        made.tuned_top_NK[:, 1] = 99 if second is None else second
        return made

    numbers = np.zeros(count, dtype=int) if problems is None else np.array(problems)
    classes = np.where(base < 5, 0, 2)
    return Trio(pair(base, a), pair(base, b), pair(a, b), numbers, numbers == 0, classes)


def test_every_figure_by_hand():
    found = summarise_overlap(
        trio(
            base=[1, 2, 3, 4, 5, 6],
            a=[1, 9, 9, 9, 5, 6],  # edits 1, 2, 3
            b=[1, 9, 8, 4, 7, 6],  # edits 1, 2, 4; at 1 with the same token
            problems=[0, 0, 0, 1, 1, 1],
        ),
        CONFIG,
    )
    assert found["edits"] == {"a": 3, "b": 3, "both": 2, "same_token": 1}
    assert found["jaccard"]["value"] == 2 / 4
    assert found["same_token_share"]["value"] == pytest.approx(1 / 3)
    assert found["by_outcome"]["correct"]["jaccard"]["value"] == 1
    assert found["by_outcome"]["wrong"]["jaccard"]["value"] == 0
    assert found["by_class"]["number"]["jaccard"]["value"] == pytest.approx(2 / 3)
    assert found["by_class"]["word"]["jaccard"]["value"] == 0
    assert found["jsd"]["decision_points"] == 6
    assert found["jsd"]["base_a"]["value"] == pytest.approx(0.5 * 3 / 6)
    assert found["jsd"]["a_b"]["value"] == pytest.approx(0.5 * 3 / 6)  # at 2, 3 and 4


def test_a_model_overlaps_with_itself_in_full():
    base, a = [1, 2, 3, 4], [1, 9, 3, 9]
    found = summarise_overlap(trio(base, a, a), CONFIG)
    assert found["jaccard"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["same_token_share"]["value"] == 1
    assert found["jsd"]["a_b"]["value"] == 0


def test_chance_places_edits_anywhere(monkeypatch):
    monkeypatch.setattr(overlap, "PLACINGS", 4000)
    base = [1] * 10
    a = [9, 9, *[1] * 8]  # two edits, both 9
    b = [1] * 5 + [9, 9, 8, 1, 1]  # three edits, two of them 9
    found = chance(trio(base, a, b, second=9), np.zeros(10, dtype=int), CONFIG)
    # each of B's edits is met with probability 2/10, and two of the three with the same token
    assert found["same_token_share"]["value"] == pytest.approx(0.2 * 2 / 3, abs=0.01)
    # both fall on k of B's three: k / (5 - k), hypergeometric
    chances = {0: 21 / 45, 1: 21 / 45, 2: 3 / 45}
    expected = sum(p * k / (5 - k) for k, p in chances.items())
    assert found["jaccard"]["value"] == pytest.approx(expected, abs=0.01)
    assert found["jaccard"]["low"] == 0


def test_chance_at_like_entropy_stays_within_it():
    base = [1] * 6
    a = [9, 9, 1, 1, 1, 1]
    b = [9, 9, 1, 1, 1, 1]
    made = trio(base, a, b, second=9)
    strata = np.array([0, 0, 1, 1, 1, 1])
    found = chance(made, strata, CONFIG)
    assert found["jaccard"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert chance(made, 0 * strata, CONFIG)["jaccard"]["value"] < 0.5


@pytest.mark.parametrize(
    ("piece", "name"),
    [
        (b" 12", "number"), (b"$3", "number"), (b" +", "operator"), (b"=", "operator"),
        (b" the", "word"), ("é".encode(), "word"), (b"\n\n", "space"), (b" ", "space"),
        (b"\xf0\x9f", "operator"),
    ],
)  # fmt: skip
def test_classes_of_tokens(piece, name):
    assert TOKEN_CLASSES[token_class(piece, special=False)] == name
    assert TOKEN_CLASSES[token_class(piece, special=True)] == "special"
