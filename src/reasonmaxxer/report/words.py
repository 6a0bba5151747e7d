"""What a run found, in sentences: the verdict, and what to keep in mind when quoting it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from reasonmaxxer.report.content import Verdict
from reasonmaxxer.report.numbers import signed


def verdict(summary: Mapping[str, Any], confidence: float) -> Verdict:
    """Whether a run gained, by the paired greedy difference.

    Args:
        summary: what `summary.json` holds.
        confidence: level of its intervals.
    """
    kind: Literal["gain", "loss", "open"]
    level, n = f"{confidence:.0%}", summary["base"]["greedy"]["pass@1"]["n"]
    difference = summary["difference"]["greedy"]
    if difference["low"] > 0:
        kind, sentence = "gain", f"A gain: the {level} interval of the difference lies above zero."
    elif difference["high"] < 0:
        kind, sentence = "loss", f"A loss: the {level} interval of the difference lies below zero."
    else:
        kind, sentence = (
            "open",
            (
                f"No difference is shown: the {level} interval of the difference includes zero. More test problems or "
                "more seeds would narrow it."
            ),
        )
    before, after = (f"{summary[arm]['greedy']['pass@1']['value'] * n:.0f}" for arm in ("base", "adapted"))
    of = f"of {n} test problems solved greedily, before and after training"
    return Verdict(kind, sentence, before, after, of)


def findings(summary: Mapping[str, Any]) -> list[str]:
    """The paired difference of a run."""
    d = summary["difference"]["greedy"]
    return [
        f"Greedy difference {signed(d)}: {d['gained']} problems gained, {d['lost']} lost, exact McNemar p = "
        f"{d['p_value']:.2g}"
    ]


def lead(summary: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """What was done, with how much, and what it took."""
    rollouts, selection, cost = summary["rollouts"], summary["selection"], summary["cost"]
    hardware = summary["environment"]["hardware"]
    machine = hardware.get("gpu") or f"{hardware['threads']} threads of {hardware['cpu']}"
    usd, estimated = cost["total"]["usd"], " (estimated price)" if cost["price"]["estimated"] else ""
    return (
        f"{rollouts['rollouts']} rollouts of the base on {rollouts['problems']} training problems; "
        f"{selection['sequences']} of them, on {selection['problems']} problems, taught one LoRA adapter of rank "
        f"{recipe['training']['adapter']['rank']} in {summary['training']['steps']} steps, at the "
        f"{summary['gate']['decision_share']:.1%} of positions that the gate lets through. "
        f"{cost['total']['seconds'] / 60:.1f} minutes on {machine}"
        + ("." if usd is None else f", {usd:.4f} USD{estimated}.")
    )


def price(of: Mapping[str, Any]) -> str:
    """What an hour of the machine costs, and who says so.

    Args:
        of: `cost.price` of the summary.
    """
    if of["usd_per_hour"] is None:
        return "No price is known for this machine; `cost.usd_per_hour` sets one."
    source = ", ".join(str(of[name]) for name in ("name", "date", "source") if of[name])
    estimate = ": an estimate, not a bill" if of["estimated"] else ""
    return f"At {of['usd_per_hour']:.2f} USD an hour for the whole machine ({source}){estimate}."


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
