"""What `evaluate` found, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reasonmaxxer.measure.suite import TRUNCATED
from reasonmaxxer.report.numbers import counted, listed, number

SOURCE = "arXiv 2605.06241, Table 3"

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def lead(found: Found) -> str:
    """What was measured, and how."""
    protocol = found["benchmarks"][0]["protocol"]
    asked = sum(b["problems"] for b in found["benchmarks"])
    drawn = (
        "answered greedily"
        if protocol["temperature"] == 0
        else f"sampled at temperature {protocol['temperature']}, top-p {protocol['top_p']}"
    )
    stop = listed([repr(text) for text in protocol["stop"]])
    ended = f", ended by {stop}" if stop else ""
    return (
        f"{counted(asked, 'problem')} of {counted(len(found['benchmarks']), 'benchmark')}, {drawn}, at "
        f"most {protocol['max_new_tokens']:,} new tokens{ended}, prompt style {protocol['prompt_style']}. "
        f"Intervals are {found['confidence']:.0%} bootstrap over problems."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    scores = listed([f"{b['title']} {b['accuracy']['value']:.3f}" for b in found["benchmarks"]])
    if found["average"] is None:
        return [f"{scores}."]
    said = f"Average over the six benchmarks of Table 3: {number(found['average'], 3)}."
    return [said, f"{scores}.", *_beside_published(found)]


def _beside_published(found: Found) -> list[str]:
    """How the scores lie to the published ones of the same base."""
    said = []
    for row in found["published"]:
        there = [b for b in found["benchmarks"] if b["name"] in row["scores"]]
        within = [b for b in there if b["accuracy"]["low"] <= row["scores"][b["name"]] <= b["accuracy"]["high"]]
        if row["method"] in ("base", "ReasonMaxxer"):
            said.append(
                f"Published for {row['model']}, {row['method']}: average {row['average']:.3f}; "
                f"{len(within)} of {len(there)} published scores lie within the intervals here."
            )
    return said


def caveats(found: Found) -> list[str]:
    """What a score must not be quoted without, gravest first."""
    benchmarks, said = found["benchmarks"], []
    cut = _above(benchmarks, {b["name"]: b["truncated_share"] for b in benchmarks})
    if cut:
        said.append(
            f"Cut at the limit of {benchmarks[0]['protocol']['max_new_tokens']:,} tokens, and so "
            f"unfinished: {cut} of the completions. Their scores may say more about the limit than about "
            "the model."
        )
    unread = _above(benchmarks, {b["name"]: _share(b, "unparsed") for b in benchmarks})
    if unread:
        said.append(f"No answer found: {unread} of the completions; read some before believing a score.")
    part = [
        f"{b['title']} {b['problems']:,} of {b['of']:,}" for b in benchmarks if b["of"] and b["of"] != b["problems"]
    ]
    if part:
        said.append(f"Not whole benchmarks: {listed(part)} problems.")
    flat = [b["title"] for b in benchmarks if b["accuracy"]["low"] == b["accuracy"]["high"]]
    if flat:
        said.append(
            f"An interval without width ({listed(flat)}) says that all problems came out alike, not that "
            "the score is certain."
        )
    if found["published"]:
        said.append(f"Published scores are those of {SOURCE}: not measured here, and without intervals.")
    return said


def _above(benchmarks: Sequence[Found], shares: Mapping[str, float]) -> str:
    """Benchmarks whose share must not go unsaid, with it."""
    large = [b for b in benchmarks if shares[b["name"]] > TRUNCATED]
    return listed([f"{b['title']} {shares[b['name']]:.0%}" for b in large])


def _share(benchmark: Found, outcome: str) -> float:
    counts = benchmark["outcomes"]
    return float(counts.get(outcome, 0) / sum(counts.values()))
