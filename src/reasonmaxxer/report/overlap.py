"""The page of `overlap`: how many token edits two models tuned from one base have in common, against chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import counted, number, share

MEASURES = {
    "jaccard": "positions edited by both, of those edited by either",
    "same_token_share": "B's edits that A makes with the same token",
}
PARTS = {
    "by_class": ("By kind of token", "By the base's choice at the position. Lines: intervals."),
    "by_outcome": ("By outcome", "By whether the base's answer is right. Lines: intervals."),
}
PAIRS = {"base_a": "base and A", "base_b": "base and B", "a_b": "A and B"}

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `overlap`."""
    found = read_object(folder / "summary.json", ("schema",))
    models = {"base": found["base"], **dict(zip("AB", found["tuned"], strict=True))}
    return Content(
        command="overlap",
        title=f"{found['base']['name']}: A {models['A']['name']}, B {models['B']['name']}",
        lead=lead(found),
        findings=findings(found),
        caveats=[
            "Both models read the base's text. Which edits they would make in their own is not seen here.",
            "Chance at like entropy still lets A edit only as often as it does: a model that edits nearly everywhere "
            "overlaps with any other.",
        ],
        sections=[
            Section("result", "Against chance", [_overlap(found)], [overlap_table(found)]),
            Section("parts", "Where they agree", list(_part_panels(found)), [_parts(found)]),
            Section("distributions", "Beyond the choice", tables=[_divergences(found["jsd"])]),
        ],
        facts=measured_with(models, found["protocol"]),
    )


def lead(found: Found) -> str:
    """What was compared, and of how much."""
    protocol, edits = found["protocol"], found["edits"]
    return (
        f"The base's greedy answers to {counted(found['problems'], 'problem')} of {protocol['source']} "
        f"({protocol['split']}), {found['positions']:,} positions, read by all three models. A edits {edits['a']:,} "
        f"of them, B {edits['b']:,}, both {edits['both']:,}; {edits['same_token']:,} with the same token. Intervals "
        f"are {protocol['confidence']:.0%} bootstrap over problems, those of chance hold that share of random "
        "placements."
    )


def findings(found: Found) -> list[str]:
    """What came out, in plain words."""
    said = [_measure_words(found, measure) for measure in MEASURES]
    jsd = found["jsd"]
    if jsd["a_b"]["value"] is not None:
        said.append(
            f"At the {counted(jsd['decision_points'], 'decision point')} (entropy above {jsd['tau']} nats) A and B "
            f"are {number(jsd['a_b'], 3)} nats of Jensen-Shannon divergence apart; A is {number(jsd['base_a'], 3)} "
            f"from the base, B {number(jsd['base_b'], 3)}."
        )
    return said


def _measure_words(found: Found, measure: str) -> str:
    observed, like, anywhere = (
        part[measure] for part in (found, found["chance"]["entropy"], found["chance"]["random"])
    )
    head = f"{MEASURES[measure][0].upper()}{MEASURES[measure][1:]}"
    if observed["value"] is None:
        return f"{head}: not defined, nothing is edited."
    verdict = "more than chance gives" if observed["low"] > like["high"] else "no more than chance may give"
    return (
        f"{head}: {share(observed)}; at random positions of like entropy {share(like)}, anywhere {share(anywhere)}. "
        f"That is {verdict} at like entropy."
    )


def _overlap(found: Found) -> Panel:
    return Panel(
        "overlap",
        "Edits in common",
        figures.overlap_and_chance(found),
        "Circles: observed. Squares: A's edits placed at random positions of like entropy. Diamonds: placed anywhere. "
        "Bars: intervals.",
    )


def overlap_table(found: Found) -> Table:
    """Both figures with their chance levels."""
    levels = (found, found["chance"]["entropy"], found["chance"]["random"])
    return Table(
        "overlap-table",
        "Overlap of edits",
        ("figure", "observed", "chance, like entropy", "chance, anywhere"),
        [(words, *(share(level[measure]) for level in levels)) for measure, words in MEASURES.items()],
        "At chance A takes its most likely token that is not the base's choice.",
        headline=True,
    )


def _part_panels(found: Found) -> Iterator[Panel]:
    for name, (title, caption) in PARTS.items():
        if any(part["same_token_share"]["value"] is not None for part in found[name].values()):
            yield Panel(name, title, figures.overlap_by(found[name]), caption)


def _parts(found: Found) -> Table:
    return Table(
        "parts-table",
        "By part",
        ("positions", "of them", "edited by both, of either", "B's edits made by A"),
        [
            (name, f"{part['positions']:,}", *(share(part[measure]) for measure in MEASURES))
            for group in PARTS
            for name, part in found[group].items()
        ],
        "Kinds are those of the base's choice; right and wrong are the base's answers.",
    )


def _divergences(jsd: Found) -> Table:
    return Table(
        "jsd-table",
        "Jensen-Shannon divergence, nats",
        ("models", f"entropy above {jsd['tau']} nats", "all positions"),
        [(words, number(jsd[name], 4), number(jsd["everywhere"][name], 4)) for name, words in PAIRS.items()],
        "Means over positions.",
    )
