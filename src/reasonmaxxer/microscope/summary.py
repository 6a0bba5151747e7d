"""The figures of a comparison of two models: Table 2 of arXiv 2605.06241 and what it leaves out."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import bootstrap_statistic
from reasonmaxxer.microscope.diff import flat, lengths
from reasonmaxxer.microscope.gates import gate_curve
from reasonmaxxer.microscope.joint import RERANKED, SHIFTED, UNSHIFTED

TENTHS = 10
SHOWN_RANKS = 10
"""Ranks counted one by one; those beyond are counted together."""
SHOWN_TOKENS = 30

RATIOS = {
    "agreement": ("unshifted", "positions"),
    "reranked_share": ("reranked", "positions"),
    "shifted_share": ("shifted", "positions"),
    "reranked_entropy": ("reranked_entropy", "reranked"),
    "unshifted_entropy": ("unshifted_entropy", "unshifted"),
    "mean_rank": ("rank", "changed"),
    "mean_backward_rank": ("backward_rank", "changed"),
    "mean_jsd": ("jsd", "positions"),
    "changed_jsd_share": ("changed_jsd", "jsd"),
    "mean_kl_base_tuned": ("kl_base", "positions"),
    "mean_kl_tuned_base": ("kl_tuned", "positions"),
    "sampled_agreement": ("overlap", "positions"),
    "moved_within_top": ("moved_within", "positions"),
    "moved_out_of_top": ("moved_out", "positions"),
}
"""Figures that are one sum over positions over another."""
AS_THEY_ARE = ("kl_base", "kl_tuned", "overlap", "moved_within", "moved_out")
"""Columns of `POSITIONS` that are summed as they are."""

Interval = dict[str, float | None]


class Sums:
    """Named sums over the positions of each problem, and statistics of them with intervals.

    Args:
        problem_N: number of the problem of each position.
        config: resamples, confidence and seed.
        **values_N: what is summed.
    """

    def __init__(self, problem_N: np.ndarray, config: MicroscopeConfig, **values_N: np.ndarray) -> None:
        self.names = list(values_N)
        self.config = config
        count = int(problem_N.max()) + 1
        self.sums_PK = np.stack([np.bincount(problem_N, values, count) for values in values_N.values()], 1)

    def ratio(self, above: str, below: str) -> Interval:
        """Ratio of two sums, with its interval."""
        return self.statistic(lambda of: of(above) / of(below))

    def statistic(self, formula: Callable[[Callable[[str], np.ndarray]], np.ndarray]) -> Interval:
        """Any formula of sums, which it asks for by name."""

        def of_totals(totals: np.ndarray) -> np.ndarray:
            return formula(lambda name: totals[..., self.names.index(name)])

        return bootstrap_statistic(self.sums_PK, of_totals, *self.config.interval)


def summarise(table: pa.Table, pieces: dict[int, str], config: MicroscopeConfig) -> dict[str, Any]:
    """Every figure of a comparison.

    Args:
        table: of `POSITIONS`.
        pieces: text of every id that it mentions.
        config: of the intervals.

    Returns:
        What `summary.json` holds (docs/microscope.md). Intervals are over problems; `value` is null
        where nothing defines it, such as the mean rank where no position differs.
    """
    problem_N = problem_numbers(table)
    kind_N, entropy_N, jsd_N = (flat(table, n) for n in ("kind", "base_entropy", "jsd"))
    changed_N = kind_N != UNSHIFTED
    sums = Sums(
        problem_N,
        config,
        positions=np.ones(len(kind_N)),
        unshifted=~changed_N,
        reranked=kind_N == RERANKED,
        shifted=kind_N == SHIFTED,
        changed=changed_N,
        unshifted_entropy=entropy_N * ~changed_N,
        reranked_entropy=entropy_N * (kind_N == RERANKED),
        rank=flat(table, "forward_rank") * changed_N,
        backward_rank=flat(table, "backward_rank") * changed_N,
        jsd=jsd_N,
        changed_jsd=jsd_N * changed_N,
        **{name: flat(table, name) for name in AS_THEY_ARE},
    )
    return {
        "problems": len(set(table["problem_id"].to_pylist())),
        "texts": len(table),
        "positions": len(kind_N),
        "truncated_share": float(np.mean([reason == "length" for reason in table["finish_reason"].to_pylist()])),
        **{name: sums.ratio(*parts) for name, parts in RATIOS.items()},
        "entropy_ratio": sums.statistic(
            lambda of: (of("reranked_entropy") / of("reranked")) / (of("unshifted_entropy") / of("unshifted"))
        ),
        "ranks": {way: rank_counts(flat(table, f"{way}_rank")[changed_N]) for way in ("forward", "backward")},
        "jsd_by_tenth": jsd_by_tenth(table, config),
        "tokens": token_changes(table, pieces),
        "gate": gate_curve(entropy_N, changed_N, problem_N, config),
        "by_outcome": _by_outcome(table, config),
    }


def problem_numbers(table: pa.Table) -> np.ndarray:
    """Number of the problem of each position, [N]; texts of one problem share it."""
    order = {id: number for number, id in enumerate(dict.fromkeys(table["problem_id"].to_pylist()))}
    numbers = [order[id] for id in table["problem_id"].to_pylist()]
    return np.repeat(numbers, lengths(table))


def rank_counts(rank_N: np.ndarray) -> dict[str, int]:
    """How often each rank occurs, those above `SHOWN_RANKS` together."""
    counts = {str(rank): int((rank_N == rank).sum()) for rank in range(2, SHOWN_RANKS + 1)}
    return counts | {f">{SHOWN_RANKS}": int((rank_N > SHOWN_RANKS).sum())}


def jsd_by_tenth(table: pa.Table, config: MicroscopeConfig) -> list[Interval]:
    """Share of all divergence that falls on each tenth of the answer, first to last."""
    place_N = np.concatenate([np.arange(size) * TENTHS // size for size in lengths(table)])
    jsd_N = flat(table, "jsd")
    parts = {f"tenth{i}": jsd_N * (place_N == i) for i in range(TENTHS)}
    sums = Sums(problem_numbers(table), config, jsd=jsd_N, **parts)
    return [sums.ratio(name, "jsd") for name in parts]


def token_changes(table: pa.Table, pieces: dict[int, str]) -> dict[str, list[dict[str, Any]]]:
    """Choices of the tuned model (promoted) and of the base (demoted) where they differ, and both
    together (swapped), most often first."""
    changed_N = flat(table, "kind") != UNSHIFTED
    base, tuned = (flat(table, f"{arm}_top")[changed_N, 0].tolist() for arm in ("base", "tuned"))
    swapped = Counter(zip(base, tuned, strict=True)).most_common(SHOWN_TOKENS)
    return {
        "promoted": _counted(tuned, pieces),
        "demoted": _counted(base, pieces),
        "swapped": [
            {"from_id": a, "from": pieces[a], "to_id": b, "to": pieces[b], "count": count} for (a, b), count in swapped
        ],
    }


def _counted(ids: list[int], pieces: dict[int, str]) -> list[dict[str, Any]]:
    return [{"id": id, "token": pieces[id], "count": count} for id, count in Counter(ids).most_common(SHOWN_TOKENS)]


def _by_outcome(table: pa.Table, config: MicroscopeConfig) -> dict[str, dict[str, Any]]:
    """Agreement and divergence on texts that are right and on others."""
    right_N = np.repeat(np.array(table["outcome"].to_pylist()) == "correct", lengths(table))
    problem_N, unshifted_N, jsd_N = problem_numbers(table), flat(table, "kind") == UNSHIFTED, flat(table, "jsd")
    found = {}
    for name, of_N in (("correct", right_N), ("wrong", ~right_N)):
        if of_N.any():
            count = int(of_N.sum())
            sums = Sums(
                problem_N[of_N], config, positions=np.ones(count), unshifted=unshifted_N[of_N], jsd=jsd_N[of_N]
            )
            figures = {"agreement": sums.ratio("unshifted", "positions"), "mean_jsd": sums.ratio("jsd", "positions")}
            found[name] = {"positions": count, **figures}
    return found
