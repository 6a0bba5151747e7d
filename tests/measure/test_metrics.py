"""Estimates against enumeration, exact fractions and the normal approximation."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.measure.metrics import bootstrap, majority_at_k, mcnemar, paired_difference, pass_at_k

RESAMPLES = 20_000


@pytest.mark.parametrize("n", [1, 3, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n):
    for c, k in product(range(n + 1), range(1, n + 1)):
        right = [1] * c + [0] * (n - c)
        subsets = list(combinations(right, k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(max, subsets)) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(200, 3, 100), (1000, 1, 999), (5000, 17, 64)])
def test_pass_at_k_of_many_samples(n, c, k):
    exact = 1 - Fraction(comb(n - c, k), comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_pass_at_k_is_unbiased(p):
    n = 8
    for k in range(1, n + 1):
        chances = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
        expected = sum(w * pass_at_k(n, c, k) for c, w in enumerate(chances))
        assert expected == pytest.approx(1 - (1 - p) ** k)


@pytest.mark.parametrize(
    ("n", "c", "k", "named"),
    [(4, 1, 0, "k=0"), (4, 1, 5, "k=5 with n=4"), (4, 5, 2, "c=5 with n=4"), (4, -1, 2, "c=-1")],
)
def test_pass_at_k_refuses(n, c, k, named):
    with pytest.raises(ValueError, match=named):
        pass_at_k(n, c, k)


def by_every_subset(right, wrong, silent, k):
    answers = ["right"] * right + [n for n, count in enumerate(wrong) for _ in range(count)] + [None] * silent
    shares = []
    for subset in combinations(answers, k):
        votes = Counter(answer for answer in subset if answer is not None)
        winners = [answer for answer, count in votes.items() if count == max(votes.values())]
        shares.append(Fraction(winners.count("right"), max(1, len(winners))))
    return sum(shares) / len(shares)


@pytest.mark.parametrize(
    ("right", "wrong", "silent"),
    [(3, [2, 1], 1), (2, [2, 2], 0), (1, [1, 1, 1, 1], 2), (0, [3], 1), (4, [], 3), (0, [], 3), (2, [4, 1, 1], 0)],
)
def test_majority_at_k_is_the_share_of_subsets_whose_winner_is_right(right, wrong, silent):
    for k in range(1, right + sum(wrong) + silent + 1):
        assert majority_at_k(right, wrong, silent, k) == float(by_every_subset(right, wrong, silent, k))


def test_majority_at_k_by_hand():
    assert majority_at_k(2, [1], 0, 3) == 1  # 2 votes to 1
    assert majority_at_k(1, [1], 0, 2) == 0.5  # a tie
    assert majority_at_k(1, [1, 1], 0, 3) == pytest.approx(1 / 3)
    assert majority_at_k(1, [1], 2, 4) == 0.5 and majority_at_k(1, [], 3, 4) == 1  # those without an answer abstain
    assert majority_at_k(10, [11, 3], 0, 1) == pytest.approx(10 / 24)  # one vote is one sample
    with pytest.raises(ValueError, match="k=4 with n=3"):
        majority_at_k(1, [2], 0, 4)


@pytest.mark.parametrize("values", [[0.0, 1.0, 5.0], [0.0, 0.0, 1.0, 1.0], [0.1, 0.7, 0.2, 1.3]])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_bootstrap_against_every_resample(values, confidence):
    means = np.sort([np.mean(draw) for draw in product(values, repeat=len(values))])
    estimate = bootstrap(np.array(values), RESAMPLES, confidence, seed=0)
    tail = (1 - confidence) / 2
    for bound, level in ((estimate["low"], tail), (estimate["high"], 1 - tail)):
        slack = 2 / sqrt(RESAMPLES)  # four standard errors of a share, at most 1/2 each
        levels = [max(0, level - slack), min(1, level + slack)]
        between = np.quantile(means, levels, method="inverted_cdf")
        assert between[0] - 1e-9 <= bound <= between[1] + 1e-9
    assert estimate["value"] == pytest.approx(np.mean(values))
    assert estimate["n"] == len(values)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bootstrap_of_many_problems_is_nearly_normal(confidence):
    values = np.array([1.0] * 120 + [0.0] * 280)
    estimate = bootstrap(values, RESAMPLES, confidence, seed=1)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(0.3 * 0.7 / 400)
    assert estimate["low"] == pytest.approx(0.3 - half, abs=0.003)
    assert estimate["high"] == pytest.approx(0.3 + half, abs=0.003)


def test_bootstrap_covers():
    generator = np.random.default_rng(0)
    samples = (generator.random((300, 100)) < 0.4).astype(float)
    estimates = [bootstrap(values, 500, 0.9, seed=i) for i, values in enumerate(samples)]
    covered = np.mean([e["low"] <= 0.4 <= e["high"] for e in estimates])
    assert 0.84 < covered < 0.96  # three standard errors, 0.017 each, about 0.9


def test_bootstrap_is_fixed_by_its_seed():
    values = np.random.default_rng(0).random(50)
    assert bootstrap(values, 100, 0.9, seed=3) == bootstrap(values, 100, 0.9, seed=3)
    assert bootstrap(values, 100, 0.9, seed=3) != bootstrap(values, 100, 0.9, seed=4)


def test_bootstrap_of_chunks_draws_every_resample(monkeypatch):
    values = np.array([0.0, 1.0, 3.0])
    whole = bootstrap(values, 1001, 0.9, seed=0)
    monkeypatch.setattr("reasonmaxxer.measure.metrics._CHUNK_BYTES", 3 * 8 * 10)
    chunked = bootstrap(values, 1001, 0.9, seed=0)
    assert (chunked["low"], chunked["high"]) == pytest.approx((whole["low"], whole["high"]), abs=0.35)
    assert chunked["low"] < chunked["value"] < chunked["high"]


def test_bootstrap_needs_little_memory():
    import tracemalloc

    tracemalloc.start()
    bootstrap(np.ones(5000), 10_000, 0.95, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_bootstrap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 problems"):
        bootstrap(np.array([]), 10, 0.95, seed=0)


def test_bootstrap_of_constant_values_has_no_width():
    assert bootstrap(np.ones(7, dtype=bool), 10, 0.95, seed=0) == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 7}


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 0.0625),  # 2 / 2^5
        (3, 3, 1.0),
        (1, 7, 2 * (1 + 8) / 256),
        (43, 1, 2 * (1 + 44) / 2**44),
        (2000, 1000, None),
    ],
)
def test_mcnemar(gained, lost, p):
    assert mcnemar(gained, lost) == mcnemar(lost, gained)
    if p is None:
        assert 0 < mcnemar(gained, lost) < 1e-70
    else:
        assert mcnemar(gained, lost) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_sums_all_outcomes_as_extreme(gained, lost):
    n = gained + lost
    extreme = [k for k in range(n + 1) if abs(2 * k - n) >= abs(gained - lost)]
    p = Fraction(sum(comb(n, k) for k in extreme), 2**n)
    assert mcnemar(gained, lost) == pytest.approx(float(p), rel=1e-12)


BASE = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0])
ADAPTED = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 0])


def test_paired_difference():
    difference = paired_difference(BASE, ADAPTED, RESAMPLES, 0.95, seed=0)
    assert difference["value"] == pytest.approx(0.2)
    assert (difference["gained"], difference["lost"]) == (3, 1)
    assert difference["p_value"] == pytest.approx(2 * 5 / 16)
    changes = bootstrap(ADAPTED - BASE, RESAMPLES, 0.95, seed=0)
    assert (difference["low"], difference["high"]) == (changes["low"], changes["high"])
    assert difference["low"] < 0 < 0.2 < difference["high"]


def test_pairing_narrows_the_interval():
    outcomes = np.arange(200) % 2
    improved = outcomes.copy()
    improved[0] = 1
    difference = paired_difference(outcomes, improved, 2000, 0.95, seed=0)
    assert difference["high"] - difference["low"] < 0.02  # unpaired, it would be about 0.2


def test_booleans_are_outcomes():
    numbers = paired_difference(BASE, ADAPTED, 100, 0.9, seed=0)
    assert paired_difference(BASE == 1, ADAPTED == 1, 100, 0.9, seed=0) == numbers


@given(st.permutations(range(10)))
def test_paired_difference_ignores_the_order_of_problems(order):
    shuffled = paired_difference(BASE[list(order)], ADAPTED[list(order)], 10, 0.9, seed=0)
    assert shuffled["value"] == pytest.approx(0.2)
    assert (shuffled["gained"], shuffled["lost"]) == (3, 1)


def test_models_swapped():
    forth = paired_difference(BASE, ADAPTED, 100, 0.9, seed=0)
    back = paired_difference(ADAPTED, BASE, 100, 0.9, seed=0)
    assert back["value"] == -forth["value"]
    assert (back["gained"], back["lost"], back["p_value"]) == (forth["lost"], forth["gained"], forth["p_value"])


def test_unpaired_outcomes_are_refused():
    with pytest.raises(ValueError, match="3 and 2"):
        paired_difference(np.ones(3), np.ones(2), 10, 0.9, seed=0)


def test_results_are_plain_values():
    computed = paired_difference(BASE, ADAPTED, 10, 0.9, seed=0)
    assert {type(value) for value in computed.values()} == {float, int}
