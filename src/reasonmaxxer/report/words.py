"""What a run found, in sentences: the verdict, and what to keep in mind when quoting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Verdict:
    """Whether the run gained.

    Attributes:
        kind: `gain`, `loss`, or `open` where the interval of the difference holds zero.
        sentence: the same in words.
    """

    kind: Literal["gain", "loss", "open"]
    sentence: str


def verdict(difference: Mapping[str, Any], confidence: float) -> Verdict:
    """Read the paired greedy difference of `summary.json`.

    Args:
        difference: `difference.greedy`.
        confidence: level of its interval.
    """
    level = f"{confidence:.0%}"
    if difference["low"] > 0:
        return Verdict("gain", f"A gain: the {level} interval of the difference lies above zero.")
    if difference["high"] < 0:
        return Verdict("loss", f"A loss: the {level} interval of the difference lies below zero.")
    return Verdict(
        "open",
        f"No difference is shown: the {level} interval of the difference includes zero. More test "
        "problems or more seeds would narrow it.",
    )


def caveats(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """What a reader must know before quoting the figures, most general first."""
    n = summary["base"]["greedy"]["pass@1"]["n"]
    found = [
        f"One seed ({recipe['seed']}). The intervals are over the {n} test problems alone: another seed "
        "draws other rollouts and another adapter, and may move the result by more than they say."
    ]
    found += _selection(summary)
    found += _grading(summary)
    found += _sampled(summary)
    if summary["cost"]["price"]["estimated"]:
        found.append("The price of this machine is assumed, not billed.")
    return found


def _selection(summary: Mapping[str, Any]) -> list[str]:
    training = summary["training"]
    chosen = (
        f"The checkpoint was chosen on {training['validation_problems']} validation problems; the "
        "test problems chose nothing."
    )
    if training["steps"] == training["planned_steps"]:
        chosen += " It is the last one: more training might do more."
    return [chosen]


def _grading(summary: Mapping[str, Any]) -> list[str]:
    found = []
    for arm, name in (("base", "base"), ("adapted", "adapted model")):
        cut, outcomes = summary[arm]["truncated_share"], summary[arm]["outcomes"]
        total = sum(outcomes.values())
        if cut > 0.1:
            found.append(
                f"{cut:.0%} of the {name}'s completions on the test problems were cut at the length "
                "limit: what they would have said is not known. Ending in time is part of the difference."
            )
        if outcomes.get("unparsed", 0) > 0.1 * total:
            share = outcomes["unparsed"] / total
            found.append(f"In {share:.0%} of the {name}'s completions no answer was found.")
        failed = outcomes.get("timeout", 0) + outcomes.get("error", 0)
        if failed:
            found.append(f"Grading failed on {failed} of the {name}'s {total:,} completions.")
    return found


def _sampled(summary: Mapping[str, Any]) -> list[str]:
    base, adapted = summary["base"]["sampled"], summary["adapted"]["sampled"]
    if not base:
        return ["Only greedy completions were drawn: pass@k with k above 1 is not known."]
    fell = [n for n in base if adapted[n]["value"] < base[n]["value"]]
    if fell:
        return [f"Sampled {', '.join(fell)} fell. Sampled differences are not tested here."]
    return []
