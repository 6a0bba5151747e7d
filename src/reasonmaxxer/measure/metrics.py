"""Estimates with intervals: the bootstrap over problems, pass@k, and paired comparison."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypedDict

import numpy as np

_CHUNK_BYTES = 32 * 2**20


class Interval(TypedDict):
    """An estimate and the ends of its interval."""

    value: float
    low: float
    high: float


class Estimate(Interval):
    """A mean over `n` problems."""

    n: int


class Difference(Interval):
    """How much an adapted model gains over its base: mean of adapted minus base over the same problems.

    Attributes:
        gained: problems that only the adapted model solves.
        lost: problems that only the base solves.
        p_value: exact two-sided McNemar test of `gained` against `lost`.
    """

    gained: int
    lost: int
    p_value: float


def bootstrap(values: np.ndarray, resamples: int, confidence: float, seed: int) -> Estimate:
    """Mean of `values` [problems] with its percentile bootstrap interval over problems.

    Args:
        values: one number a problem.
        resamples: draws, each of as many problems with replacement.
        confidence: level of the interval, between 0 and 1.
        seed: fixes the draws.

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("cannot estimate a mean of 0 problems")
    return bootstrap_average([values], resamples, confidence, seed)


def bootstrap_average(values: Sequence[np.ndarray], resamples: int, confidence: float, seed: int) -> Estimate:
    """Mean of several sets' means, each counting alike, with an interval over the problems of each.

    Args:
        values: one number a problem, an array a set.
        resamples: draws, each with replacement within every set, independently.
        confidence: level of the interval, between 0 and 1.
        seed: fixes the draws.

    Raises:
        ValueError: no sets, or one without values.
    """
    if not values or not all(len(of) for of in values):
        raise ValueError("cannot average sets of which one has no problems")
    arrays = [np.asarray(of, dtype=np.float64) for of in values]
    drawn = [_resampled_means(of, resamples, seed + n) for n, of in enumerate(arrays)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.mean(drawn, axis=0), [tail, 1 - tail])
    value = np.mean([of.mean() for of in arrays])
    return Estimate(value=float(value), low=float(low), high=float(high), n=sum(map(len, arrays)))


def _resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means [resamples], drawn in chunks that bound memory."""
    generator = np.random.Generator(np.random.Philox(seed))
    chunk = max(1, _CHUNK_BYTES // (8 * len(values)))
    means = []
    for start in range(0, resamples, chunk):
        shape = (min(chunk, resamples - start), len(values))
        means.append(values[generator.integers(len(values), size=shape, dtype=np.int32)].mean(1))
    return np.concatenate(means)


def bootstrap_statistic(
    sums_PK: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], resamples: int, confidence: float, seed: int
) -> dict[str, float | None]:
    """A statistic of sums over problems, such as a ratio, with its percentile interval over problems.

    Args:
        sums_PK: K numbers a problem.
        statistic: of totals [..., K]; not a number where it is undefined.
        resamples: draws, each of as many problems with replacement.
        confidence: level of the interval, between 0 and 1.
        seed: fixes the draws.

    Returns:
        `value`, `low` and `high`; None where undefined. Draws without a value do not count.

    Raises:
        ValueError: no problems.
    """
    if not len(sums_PK):
        raise ValueError("cannot estimate a statistic of 0 problems")
    sums_PK = np.asarray(sums_PK, dtype=np.float64)
    weights = resampling_weights(len(sums_PK), resamples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums_PK.sum(0)))
        drawn = np.concatenate([statistic(weights_RP @ sums_PK) for weights_RP in weights])
    return percentile_interval(value, drawn, confidence)


def percentile_interval(value: float, drawn: np.ndarray, confidence: float) -> dict[str, float | None]:
    """A value with the range of what resamples gave for it.

    Args:
        value: of the sample itself.
        drawn: of each resample; those that are not finite do not count.
        confidence: level of the interval, between 0 and 1.

    Returns:
        `value`, `low` and `high`; None where the value is not finite.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return {"value": None, "low": None, "high": None}
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return {"value": float(value), "low": float(low), "high": float(high)}


def resampling_weights(problems: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each problem is drawn in each resample, [some resamples, problems] at a time."""
    generator = np.random.Generator(np.random.Philox(seed))
    chunk = max(1, _CHUNK_BYTES // (8 * problems))
    even = np.full(problems, 1 / problems)
    for start in range(0, resamples, chunk):
        yield generator.multinomial(problems, even, size=min(chunk, resamples - start))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right, 1 - C(n-c, k) / C(n, k).

    Args:
        n: samples drawn.
        c: those that are right.
        k: samples allowed.

    Raises:
        ValueError: k below 1, fewer than k samples, or c outside 0 to n.
    """
    if k < 1 or n < k:
        raise ValueError(f"pass@k needs 1 <= k <= n, not k={k} with n={n} samples")
    if not 0 <= c <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n, not c={c} with n={n} samples")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def majority_at_k(right: int, wrong: Sequence[int], silent: int, k: int) -> float:
    """Chance that the most frequent answer among k samples is right, over all subsets of the n samples drawn.

    Of answers that tie, each wins alike, as where the first drawn of them wins (arXiv 2203.11171, 2206.14858). Samples
    without an answer do not vote; where none votes, the majority is wrong.

    Args:
        right: samples with the right answer.
        wrong: samples with each of the wrong answers.
        silent: samples without an answer.
        k: samples that vote.

    Raises:
        ValueError: k below 1, or fewer than k samples.
    """
    n = right + sum(wrong) + silent
    if k < 1 or n < k:
        raise ValueError(f"maj@k needs 1 <= k <= n, not k={k} with n={n} samples")
    won = Fraction(0)
    for votes in range(1, min(right, k) + 1):
        ways = Counter({(0, 0): 1})  # of choosing so many wrong samples of which so many answers have as many votes
        for count in wrong:
            more: Counter[tuple[int, int]] = Counter()
            for (chosen, tied), number in ways.items():
                for own in range(min(count, votes, k - votes - chosen) + 1):
                    more[chosen + own, tied + (own == votes)] += number * math.comb(count, own)
            ways = more
        share = sum(
            Fraction(number * math.comb(silent, k - votes - chosen), 1 + tied)
            for (chosen, tied), number in ways.items()
        )
        won += math.comb(right, votes) * share
    return float(won / math.comb(n, k))


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p-value; 1.0 when no problem changed.

    Given the problems that changed, each is a gain with probability one half if neither model is
    better, so the smaller count is binomial.
    """
    changed = gained + lost
    tail = sum(math.comb(changed, i) for i in range(min(gained, lost) + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**changed)))


def paired_difference(
    base: np.ndarray, adapted: np.ndarray, resamples: int, confidence: float, seed: int
) -> Difference:
    """Compare two models on the same problems, right (1) or wrong (0) on each.

    Args:
        base: outcomes [problems] of the base.
        adapted: outcomes [problems] of the adapted model, in the same order.
        resamples: bootstrap draws over problems.
        confidence: level of the interval, between 0 and 1.
        seed: fixes the draws.

    Raises:
        ValueError: different lengths, or no problems.
    """
    if len(base) != len(adapted):
        raise ValueError(f"paired outcomes differ in length: {len(base)} and {len(adapted)}")
    change = np.asarray(adapted, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    mean = bootstrap(change, resamples, confidence, seed)
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    ends = Interval(value=mean["value"], low=mean["low"], high=mean["high"])
    return Difference(**ends, gained=gained, lost=lost, p_value=mcnemar(gained, lost))
