"""What `overlap` found: words, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with, panel
from reasonmaxxer.report.numbers import counted, number, share

MEASURES = {"jaccard": "positions edited by both, of those edited by either",
            "same_token_share": "B's edits that A makes with the same token"}  # fmt: skip

Found = Mapping[str, Any]


def content(folder: Path, found: Found) -> Content:
    """The page of a folder of `overlap`.

    Args:
        folder: not read.
        found: its `summary.json`.
    """
    a, b = (model["name"] for model in found["tuned"])
    return Content(
        command="overlap",
        title=f"{found['base']['name']}: A {a}, B {b}",
        lead=lead(found),
        findings=findings(found),
        caveats=[
            "Both models read the base's text. Which edits they would make in their own is not seen here.",
            "Chance at like entropy still lets A edit only as often as it does: a model that edits nearly "
            "everywhere overlaps with any other.",
        ],
        sections=[
            Section("result", "Against chance", _panels(found), [overlap_table(found)]),
            Section("parts", "Where they agree", _part_panels(found), [_parts(found)]),
            Section("distributions", "Beyond the choice", tables=[_divergences(found)]),
        ],
        facts=measured_with(
            {"base": found["base"], **dict(zip("AB", found["tuned"], strict=True))}, found["protocol"]
        ),
    )


def lead(found: Found) -> str:
    """What was compared, and of how much."""
    protocol, edits = found["protocol"], found["edits"]
    return (
        f"The base's greedy answers to {counted(found['problems'], 'problem')} of {protocol['source']} "
        f"({protocol['split']}), {found['positions']:,} positions, read by all three models. A edits "
        f"{edits['a']:,} of them, B {edits['b']:,}, both {edits['both']:,}; {edits['same_token']:,} with "
        f"the same token. Intervals are {protocol['confidence']:.0%} bootstrap over problems, those of "
        "chance hold that share of random placements."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    said = []
    for measure, words in MEASURES.items():
        own, entropy, anywhere = (
            part[measure] for part in (found, found["chance"]["entropy"], found["chance"]["random"])
        )
        head = f"{words[0].upper()}{words[1:]}"
        if own["value"] is None:
            said.append(f"{head}: not defined, nothing is edited.")
            continue
        beyond = own["low"] > entropy["high"]
        verdict = "more than chance gives" if beyond else "no more than chance may give"
        said.append(
            f"{head}: {share(own)}; at random positions of like entropy "
            f"{share(entropy)}, anywhere {share(anywhere)}. That is {verdict} at like entropy."
        )
    jsd = found["jsd"]
    if jsd["a_b"]["value"] is not None:
        said.append(
            f"At the {counted(jsd['decision_points'], 'decision point')} (entropy above {jsd['tau']} nats) "
            f"A and B are {number(jsd['a_b'], 3)} nats of Jensen-Shannon divergence apart; A is "
            f"{number(jsd['base_a'], 3)} from the base, B {number(jsd['base_b'], 3)}."
        )
    return said


def _panels(found: Found) -> list[Panel]:
    return [
        panel(
            "overlap",
            "Edits in common",
            figures.overlap_and_chance(found),
            "Circles: observed. Squares: A's edits placed at random positions of like entropy. Diamonds: "
            "placed anywhere. Bars: intervals.",
        )
    ]


def overlap_table(found: Found) -> Table:
    """Both figures with their chance levels."""
    chance = found["chance"]
    return Table(
        "overlap-table",
        "Overlap of edits",
        ("figure", "observed", "chance, like entropy", "chance, anywhere"),
        [
            (words, share(found[measure]), share(chance["entropy"][measure]), share(chance["random"][measure]))
            for measure, words in MEASURES.items()
        ],
        "At chance A takes its most likely token that is not the base's choice.",
    )


def _part_panels(found: Found) -> list[Panel]:
    parts = (
        ("by_class", "By kind of token", "By the base's choice at the position."),
        ("by_outcome", "By outcome", "By whether the base's answer is right."),
    )
    return [
        panel(name, title, figures.overlap_by(found[name]), f"{words} Lines: intervals.")
        for name, title, words in parts
        if any(part["same_token_share"]["value"] is not None for part in found[name].values())
    ]


def _parts(found: Found) -> Table:
    return Table(
        "parts-table",
        "By part",
        ("positions", "of them", "edited by both, of either", "B's edits made by A"),
        [
            (name, f"{part['positions']:,}", share(part["jaccard"]), share(part["same_token_share"]))
            for group in ("by_class", "by_outcome")
            for name, part in found[group].items()
        ],
        "Kinds are those of the base's choice; right and wrong are the base's answers.",
    )


def _divergences(found: Found) -> Table:
    jsd = found["jsd"]
    pairs = {"base_a": "base and A", "base_b": "base and B", "a_b": "A and B"}
    return Table(
        "jsd-table",
        "Jensen-Shannon divergence, nats",
        ("models", f"entropy above {jsd['tau']} nats", "all positions"),
        [(words, number(jsd[name], 4), number(jsd["everywhere"][name], 4)) for name, words in pairs.items()],
        "Means over positions.",
    )
