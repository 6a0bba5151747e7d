"""What interventions do to accuracy: a row a policy, paired with both models, and dose and response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.config.policies import BudgetKind
from reasonmaxxer.measure.metrics import bootstrap, paired_difference
from reasonmaxxer.microscope.interventions import EDITS, Outputs
from reasonmaxxer.microscope.pair import ARMS, Arm
from reasonmaxxer.microscope.summary import Sums
from reasonmaxxer.rollouts.table import Rollout

DOSES: tuple[BudgetKind, ...] = ("first", "share", "entropy", "divergence")


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
        models = {arm: self._model_row(arm) for arm in ARMS}
        rows = [self.policy_row(one) for one in outputs]
        return {"rows": [*models.values(), *rows], "dose": _curves(rows, models)}

    def policy_row(self, outputs: Outputs) -> dict[str, Any]:
        """Figures of one policy."""
        policy, rollouts = outputs.policy, outputs.rollouts
        return {
            "name": policy.spelling,
            "policy": policy.name,
            "budget": None if policy.budget == "all" else policy.spelling.partition(":")[2],
            "direction": "reverse" if policy.reverse else "forward",
            **self._figures(rollouts, outputs.edits),
            "identical_share": _identical(rollouts, self._answers(policy.donor)),
            "by_construction": policy.whole,
            "passes_per_token": sum(outputs.passes) / sum(len(r.completion_ids) for r in rollouts),
        }

    def _model_row(self, arm: Arm) -> dict[str, Any]:
        """Row of a model without intervention."""
        rollouts = self._answers(arm)
        return {
            "name": arm,
            "policy": arm,
            "budget": None,
            "direction": None,
            **self._figures(rollouts, EDITS.empty_table()),
            "identical_share": _identical(rollouts, self.tuned),
            "by_construction": False,
            "passes_per_token": 1.0,
        }

    def _figures(self, rollouts: Sequence[Rollout], edits: pa.Table) -> dict[str, Any]:
        """Accuracy, against both models, and how many tokens were decided and changed."""
        interval = self.config.interval
        base, tuned, right = (_right(answers) for answers in (self.base, self.tuned, rollouts))
        order = {r.problem_id: i for i, r in enumerate(rollouts)}
        owner = np.array([order[id] for id in edits["problem_id"].to_pylist()], dtype=np.int64)
        changed = np.array(edits["changed"].to_pylist(), dtype=bool)
        touched_P, changed_P = (np.bincount(at, minlength=len(rollouts)) for at in (owner, owner[changed]))
        tokens_P = np.array([len(r.completion_ids) for r in rollouts])
        sums = Sums(np.arange(len(rollouts)), self.config, touched=touched_P, changed=changed_P, tokens=tokens_P)
        return {
            "accuracy": bootstrap(right, *interval),
            "minus_base": paired_difference(base, right, *interval),
            "minus_tuned": paired_difference(tuned, right, *interval),
            "touched_share": sums.ratio("touched", "tokens"),
            "changed_share": sums.ratio("changed", "tokens"),
            "edits_per_problem": float(np.mean(changed_P)),
        }

    def _answers(self, arm: Arm) -> Sequence[Rollout]:
        return self.base if arm == "base" else self.tuned


def _curves(rows: Sequence[dict[str, Any]], models: Mapping[Arm, dict[str, Any]]) -> list[dict[str, Any]]:
    """Curves of accuracy against budget, each from no edit to all of them."""
    curves = []
    for policy, direction in dict.fromkeys((row["policy"], row["direction"]) for row in rows):
        alike = [row for row in rows if (row["policy"], row["direction"]) == (policy, direction)]
        whole = [_point("all", row) for row in alike if row["budget"] is None]
        nothing = _point(0.0, models["tuned" if direction == "reverse" else "base"])
        for kind in DOSES:
            doses = [row for row in alike if (row["budget"] or "").startswith(f"{kind}=")]
            points = [_point(float(row["budget"].partition("=")[2]), row) for row in doses]
            if points:
                points = [nothing, *sorted(points, key=itemgetter("budget")), *whole[:1]]
                curves.append({"policy": policy, "direction": direction, "kind": kind, "points": points})
    return curves


def _point(budget: float | str, row: dict[str, Any]) -> dict[str, Any]:
    return {"budget": budget, "edits_per_problem": row["edits_per_problem"], "accuracy": row["accuracy"]}


def _right(rollouts: Sequence[Rollout]) -> np.ndarray:
    return np.array([rollout.reward for rollout in rollouts])


def _identical(rollouts: Sequence[Rollout], others: Sequence[Rollout]) -> float:
    """Share of the answers that are token by token the other's."""
    return float(np.mean([a.completion_ids == b.completion_ids for a, b in zip(rollouts, others, strict=True)]))
