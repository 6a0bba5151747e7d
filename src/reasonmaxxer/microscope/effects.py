"""What interventions do to accuracy: a row a policy, paired with both models, and dose and response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import bootstrap, bootstrap_statistic, paired_difference
from reasonmaxxer.microscope.interventions import Outputs
from reasonmaxxer.microscope.pair import ARMS, Arm
from reasonmaxxer.microscope.policies import BudgetKind
from reasonmaxxer.rollouts.table import Rollout

DOSES: tuple[BudgetKind, ...] = ("first", "share", "entropy", "divergence")
NONE = {"value": 0.0, "low": 0.0, "high": 0.0}


@dataclass(frozen=True)
class Effects:
    """Figures of all policies against base and tuned model.

    Attributes:
        base: greedy answers of the base, one a problem.
        tuned: greedy answers of the tuned model, in the same order.
        config: resamples, confidence and seed of the intervals.
    """

    base: Sequence[Rollout]
    tuned: Sequence[Rollout]
    config: MicroscopeConfig

    def summary(self, outputs: Sequence[Outputs]) -> dict[str, Any]:
        """`rows` and `dose` of `summary.json` (docs/microscope.md)."""
        rows = [self.policy_row(one) for one in outputs]
        return {"rows": [*(self._model_row(arm) for arm in ARMS), *rows], "dose": self._curves(rows)}

    def policy_row(self, outputs: Outputs) -> dict[str, Any]:
        """Figures of one policy."""
        policy, rollouts = outputs.policy, outputs.rollouts
        tokens_P = np.array([len(r.completion_ids) for r in rollouts])
        order = {r.problem_id: i for i, r in enumerate(rollouts)}
        owner = np.array([order[id] for id in outputs.edits["problem_id"].to_pylist()], dtype=np.int64)
        changed = outputs.edits["changed"].to_numpy(zero_copy_only=False)
        touched_P = np.bincount(owner, minlength=len(rollouts))
        changed_P = np.bincount(owner, changed, len(rollouts))
        return {
            "name": policy.spelling,
            "policy": policy.name,
            "budget": None if policy.budget == "all" else policy.spelling.partition(":")[2],
            "direction": "reverse" if policy.reverse else "forward",
            **self._accuracy(rollouts),
            "touched_share": self._share(touched_P, tokens_P),
            "changed_share": self._share(changed_P, tokens_P),
            "edits_per_problem": float(np.mean(changed_P)),
            "identical_share": _identical(rollouts, self._answers(policy.donor)),
            "by_construction": policy.whole,
            "passes_per_token": float(sum(outputs.passes) / tokens_P.sum()),
        }

    def _model_row(self, arm: Arm) -> dict[str, Any]:
        """Row of a model without intervention."""
        return {
            "name": arm,
            "policy": arm,
            "budget": None,
            "direction": None,
            **self._accuracy(self._answers(arm)),
            "touched_share": NONE,
            "changed_share": NONE,
            "edits_per_problem": 0.0,
            "identical_share": _identical(self._answers(arm), self.tuned),
            "by_construction": False,
            "passes_per_token": 1.0,
        }

    def _answers(self, arm: Arm) -> Sequence[Rollout]:
        return self.base if arm == "base" else self.tuned

    @property
    def _interval(self) -> tuple[int, float, int]:
        return self.config.bootstrap, self.config.confidence, self.config.seed

    def _accuracy(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        base, tuned, right = (_right(answers) for answers in (self.base, self.tuned, rollouts))
        return {
            "accuracy": bootstrap(right, *self._interval).to_dict(),
            "minus_base": paired_difference(base, right, *self._interval).to_dict(),
            "minus_tuned": paired_difference(tuned, right, *self._interval).to_dict(),
        }

    def _share(self, part_P: np.ndarray, whole_P: np.ndarray) -> dict[str, float | None]:
        sums_P2 = np.stack([part_P, whole_P], 1)
        return bootstrap_statistic(sums_P2, lambda sums: sums[..., 0] / sums[..., 1], *self._interval)

    def _curves(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Curves of accuracy against budget, each from no edit to all of them."""
        curves = []
        for policy, direction in dict.fromkeys((row["policy"], row["direction"]) for row in rows):
            alike = [r for r in rows if (r["policy"], r["direction"]) == (policy, direction)]
            whole = [_point("all", r) for r in alike if r["budget"] is None]
            host: Arm = "tuned" if direction == "reverse" else "base"
            for kind in DOSES:
                doses = [r for r in alike if (r["budget"] or "").startswith(f"{kind}=")]
                points = sorted((_point(float(r["budget"].partition("=")[2]), r) for r in doses), key=_budget)
                if points:
                    nothing = _point(0.0, self._model_row(host))
                    points = [nothing, *points, *whole[:1]]
                    curves.append({"policy": policy, "direction": direction, "kind": kind, "points": points})
        return curves


def _point(budget: float | str, row: dict[str, Any]) -> dict[str, Any]:
    return {"budget": budget, "edits_per_problem": row["edits_per_problem"], "accuracy": row["accuracy"]}


def _budget(point: dict[str, Any]) -> float:
    return float(point["budget"])


def _right(rollouts: Sequence[Rollout]) -> np.ndarray:
    return np.array([rollout.reward for rollout in rollouts])


def _identical(rollouts: Sequence[Rollout], others: Sequence[Rollout]) -> float:
    """Share of the answers that are token by token the other's."""
    return float(np.mean([a.completion_ids == b.completion_ids for a, b in zip(rollouts, others, strict=True)]))
