"""How well the base's entropy alone finds the positions where the tuned model chooses differently."""

from typing import Any

import numpy as np

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import percentile_interval, resampling_weights

RESAMPLES = 1000
"""Every resample sorts all positions anew."""
POINTS = 60
"""Thresholds that are listed."""
NAMED = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.2)
"""Thresholds in nats that are always listed; the paper's sweep among them."""


def gate_curve(
    entropy_N: np.ndarray, changed_N: np.ndarray, problem_N: np.ndarray, config: MicroscopeConfig
) -> dict[str, Any]:
    """Precision and recall of the gate `entropy > tau` against tau, with the areas under both curves.

    Args:
        entropy_N: entropy of the base, nats.
        changed_N: bool, where the choices differ.
        problem_N: number of the problem of each position.
        config: of the intervals.

    Returns:
        `average_precision` (area under precision against recall) and `auc` (area under the receiver
        operating characteristic: the chance that a changed position has more entropy than another),
        each `value`, `low` and `high` over problems, null without both kinds of position; `base_rate`;
        `curve`: `tau`, `share` of positions above, `precision` (null above all) and `recall`.
    """
    order = np.argsort(-entropy_N, kind="stable")
    sorted_N, hits_N, owner_N = entropy_N[order], changed_N[order], problem_N[order]
    ends = np.append(np.flatnonzero(np.diff(sorted_N)), len(sorted_N) - 1)  # of equal entropies
    ones = np.ones((1, int(problem_N.max()) + 1))
    average, auc = (v[0] for v in _areas(ones, hits_N, owner_N, ends))
    resamples = min(config.bootstrap, RESAMPLES)
    drawn = [
        _areas(weights, hits_N, owner_N, ends)
        for chunk in resampling_weights(ones.shape[1], resamples, config.seed)
        for weights in np.array_split(chunk, max(1, len(chunk) * len(order) // 2**22))
    ]
    averages, aucs = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return {
        "average_precision": percentile_interval(average, averages, config.confidence),
        "auc": percentile_interval(auc, aucs, config.confidence),
        "base_rate": float(changed_N.mean()),
        "curve": [_point(tau, entropy_N, changed_N) for tau in _thresholds(entropy_N)],
    }


def _areas(
    weights_RP: np.ndarray, hits_N: np.ndarray, owner_N: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both areas [R] where problem p counts `weights[p]` times; positions come most entropic first."""
    weight_RN = weights_RP[:, owner_N].astype(np.float64)
    found_RM = (weight_RN * hits_N).cumsum(1)[:, ends]
    gated_RM = weight_RN.cumsum(1)[:, ends]
    with np.errstate(divide="ignore", invalid="ignore"):
        recall_RM = found_RM / found_RM[:, -1:]
        precision_RM = np.where(gated_RM > 0, found_RM / np.maximum(gated_RM, 1), 0)
        average_R = (np.diff(recall_RM, prepend=0) * precision_RM).sum(1)
        false_RM = gated_RM - found_RM
        alarm_RM = false_RM / false_RM[:, -1:]
    middle_RM = (recall_RM + np.concatenate([np.zeros_like(recall_RM[:, :1]), recall_RM[:, :-1]], 1)) / 2
    return average_R, (np.diff(alarm_RM, prepend=0) * middle_RM).sum(1)


def _thresholds(entropy_N: np.ndarray) -> list[float]:
    spread = np.quantile(entropy_N, np.linspace(0, 1, POINTS), method="lower")
    return sorted({*map(float, spread), *NAMED})


def _point(tau: float, entropy_N: np.ndarray, changed_N: np.ndarray) -> dict[str, float | None]:
    above_N = entropy_N > np.float32(tau)
    found, gated, edits = (int(x.sum()) for x in (above_N & changed_N, above_N, changed_N))
    return {
        "tau": tau,
        "share": gated / len(entropy_N),
        "precision": found / gated if gated else None,
        "recall": found / edits if edits else None,
    }
