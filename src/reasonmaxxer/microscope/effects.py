"""What interventions show: accuracy with intervals and paired tests, dose and response, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import bootstrap, bootstrap_statistic, paired_difference
from reasonmaxxer.microscope.interventions import Outputs
from reasonmaxxer.microscope.policies import BudgetKind
from reasonmaxxer.rollouts.table import Rollout

DOSES: tuple[BudgetKind, ...] = ("first", "share", "entropy", "divergence")


class Effects:
    """Figures of all policies against base and tuned model.

    Args:
        base: greedy answers of the base, one a problem.
        tuned: of the tuned model, in the same order.
        config: of the intervals.
    """

    def __init__(self, base: Sequence[Rollout], tuned: Sequence[Rollout], config: MicroscopeConfig) -> None:
        self.answers = {"base": base, "tuned": tuned}
        self.right = {arm: _right(answers) for arm, answers in self.answers.items()}
        self.config = config

    def summary(self, outputs: Sequence[Outputs]) -> dict[str, Any]:
        """`rows`, `dose` and `words` of `summary.json` (docs/microscope.md)."""
        rows = [self.row_of(one) for one in outputs]
        return {
            "rows": [*(self._own_row(arm) for arm in self.answers), *rows],
            "dose": self._dose(rows),
            "words": self._words(rows),
        }

    def row_of(self, outputs: Outputs) -> dict[str, Any]:
        """Figures of one policy."""
        policy, rollouts = outputs.policy, outputs.rollouts
        tokens_P = np.array([len(r.completion_ids) for r in rollouts])
        order = {r.problem_id: i for i, r in enumerate(rollouts)}
        of_edit = [order[id] for id in outputs.edits["problem_id"].to_pylist()]
        changed = outputs.edits["changed"].to_numpy(zero_copy_only=False)
        touched_P = np.bincount(of_edit, minlength=len(rollouts)) if of_edit else 0 * tokens_P
        changed_P = np.bincount(of_edit, changed, len(rollouts)) if of_edit else 0 * tokens_P
        donors = self.answers[policy.donor]
        identical = [
            ours.completion_ids == theirs.completion_ids for ours, theirs in zip(rollouts, donors, strict=True)
        ]
        return {
            "name": policy.spelling,
            "policy": policy.name,
            "budget": None if policy.budget == "all" else policy.spelling.partition(":")[2],
            "direction": "reverse" if policy.reverse else "forward",
            **self._accuracy(rollouts),
            "touched_share": self._share(touched_P, tokens_P),
            "changed_share": self._share(changed_P, tokens_P),
            "edits_per_problem": float(np.mean(changed_P)),
            "identical_share": float(np.mean(identical)),
            "by_construction": policy.whole,
            "passes_per_token": float(sum(outputs.passes) / tokens_P.sum()),
        }

    def _own_row(self, arm: str) -> dict[str, Any]:
        """Row of the table for a model without intervention."""
        same = [
            ours.completion_ids == theirs.completion_ids
            for ours, theirs in zip(self.answers[arm], self.answers["tuned"], strict=True)
        ]
        nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
        return {
            "name": arm,
            "policy": arm,
            "budget": None,
            "direction": None,
            **self._accuracy(self.answers[arm]),
            "touched_share": nothing,
            "changed_share": nothing,
            "edits_per_problem": 0.0,
            "identical_share": float(np.mean(same)),
            "by_construction": False,
            "passes_per_token": 1.0,
        }

    def _accuracy(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        config, right = self.config, _right(rollouts)
        settings = (config.bootstrap, config.confidence, config.seed)
        return {
            "accuracy": bootstrap(right, *settings).to_dict(),
            "minus_base": paired_difference(self.right["base"], right, *settings).to_dict(),
            "minus_tuned": paired_difference(self.right["tuned"], right, *settings).to_dict(),
        }

    def _share(self, part_P: np.ndarray, whole_P: np.ndarray) -> dict[str, float | None]:
        config = self.config
        return bootstrap_statistic(
            np.stack([part_P, whole_P], 1),
            lambda sums: sums[..., 0] / sums[..., 1],
            config.bootstrap,
            config.confidence,
            config.seed,
        )

    def _dose(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Curves of accuracy against budget, each from no edit to all of them."""
        curves = []
        groups = dict.fromkeys((row["policy"], row["direction"]) for row in rows)
        for policy, direction in groups:
            own = [r for r in rows if (r["policy"], r["direction"]) == (policy, direction)]
            whole = [r for r in own if r["budget"] is None]
            for kind in DOSES:
                doses = [r for r in own if (r["budget"] or "").startswith(f"{kind}=")]
                if doses:
                    points = [_point(float(r["budget"].partition("=")[2]), r) for r in doses]
                    curves.append(
                        {
                            "policy": policy,
                            "direction": direction,
                            "kind": kind,
                            "points": [
                                self._none("tuned" if direction == "reverse" else "base"),
                                *sorted(points, key=lambda p: float(p["budget"])),
                                *(_point("all", r) for r in whole[:1]),
                            ],
                        }
                    )
        return curves

    def _none(self, host: str) -> dict[str, Any]:
        """The dose of nothing."""
        return {"budget": 0.0, "edits_per_problem": 0.0, "accuracy": self._accuracy(self.answers[host])["accuracy"]}

    def _words(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        base, tuned = (float(self.right[arm].mean()) for arm in ("base", "tuned"))
        found = {row["name"]: row for row in rows}
        words = [f"Greedy accuracy: base {base:.2f}, tuned {tuned:.2f}, n = {len(self.right['base'])}."]
        for name, row in found.items():
            if row["by_construction"]:
                donor = "base" if row["direction"] == "reverse" else "tuned model"
                words.append(
                    f"'{name}' puts in every token that differs, so its text is the {donor}'s own "
                    f"greedy answer by construction ({row['identical_share']:.0%} identical as "
                    "measured): that its accuracy is the same is an identity, not evidence."
                )
        if "oracle:reranked" in found:
            row = found["oracle:reranked"]
            words.append(
                f"With reranked tokens alone {row['identical_share']:.0%} of the answers are the tuned "
                f"model's own, and accuracy is {row['accuracy']['value']:.2f}."
            )
        words += [self._recovered(row, base, tuned) for row in rows if _telling(row)]
        words += [_control(row) for row in rows if _is_control(row)]
        return words

    def _recovered(self, row: dict[str, Any], base: float, tuned: float) -> str:
        accuracy = row["accuracy"]["value"]
        gain = tuned - base
        part = f", {(accuracy - base) / gain:.0%} of the gain" if gain else ""
        return (
            f"'{row['name']}': {row['edits_per_problem']:.1f} changed tokens an answer take the base to "
            f"{accuracy:.2f}{part}."
        )


def _telling(row: dict[str, Any]) -> bool:
    """Budgets that stop short of the whole oracle, the largest of each kind left to the table."""
    return row["name"] in ("oracle:first=1", "oracle:first=4", "oracle:share=0.5", "gated:tau=1.2")


def _is_control(row: dict[str, Any]) -> bool:
    return (
        row["policy"] in ("random", "second", "matched") and row["budget"] is None and (row["direction"] == "forward")
    )


def _control(row: dict[str, Any]) -> str:
    what = {
        "random": "Random tokens of the base's top 20 at the same places",
        "second": "The base's second choice at the same places",
        "matched": "The tuned model's choice at random places of the same entropy",
    }[row["policy"]]
    change = row["minus_base"]
    return (
        f"{what}: {row['accuracy']['value']:.2f}, {change['value']:+.2f} "
        f"[{change['low']:+.2f}, {change['high']:+.2f}] against the base, "
        f"{row['edits_per_problem']:.1f} changed tokens an answer."
    )


def _point(budget: float | str, row: dict[str, Any]) -> dict[str, Any]:
    return {"budget": budget, "edits_per_problem": row["edits_per_problem"], "accuracy": row["accuracy"]}


def _right(rollouts: Sequence[Rollout]) -> np.ndarray:
    return np.array([rollout.reward for rollout in rollouts])
