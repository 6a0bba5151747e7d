"""The page of `overlap`: how many token edits two models tuned from one base have in common, against chance."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import number, share
from reasonmaxxer.report.words import Words

MEASURES = {
    "jaccard": "positions edited by both, of those edited by either",
    "same_token_share": "B's edits that A makes with the same token",
}
PARTS = ("by_class", "by_outcome")
PAIRS = {"base_a": "base and A", "base_b": "base and B", "a_b": "A and B"}


def content(folder: Path) -> Content:
    """The page of a finished folder of `overlap`."""
    found = read_object(folder / "summary.json", ("schema",))
    words = words_of(found)
    models = {"base": found["base"], **dict(zip("AB", found["tuned"], strict=True))}
    return words.content(
        title=f"{found['base']['name']}: A {models['A']['name']}, B {models['B']['name']}",
        sections=[
            Section(
                "result",
                "Against chance",
                [words.panel("overlap", figures.overlap_and_chance(found))],
                [_table(words)],
            ),
            Section("parts", "Where they agree", list(_part_panels(words)), [_parts(words)]),
            Section("distributions", "Beyond the choice", tables=[_divergences(words)]),
        ],
        facts=measured_with(models, found["protocol"]),
    )


def words_of(found: Mapping[str, Any]) -> Words:
    """Its words."""
    return Words("overlap", found, measures=MEASURES, jsd=found["jsd"])


def _table(words: Words) -> Table:
    """Both figures with their chance levels."""
    levels = (words.found, words.found["chance"]["entropy"], words.found["chance"]["random"])
    rows = [(name, *(share(level[measure]) for level in levels)) for measure, name in MEASURES.items()]
    return words.table("overlap-table", rows, headline=True)


def _part_panels(words: Words) -> Iterator[Panel]:
    for name in PARTS:
        parts = words.found[name]
        if any(part["same_token_share"]["value"] is not None for part in parts.values()):
            yield words.panel(name, figures.overlap_by(parts))


def _parts(words: Words) -> Table:
    rows = [
        (name, f"{part['positions']:,}", *(share(part[measure]) for measure in MEASURES))
        for group in PARTS
        for name, part in words.found[group].items()
    ]
    return words.table("parts-table", rows)


def _divergences(words: Words) -> Table:
    jsd = words.found["jsd"]
    rows = [(pair, number(jsd[name], 4), number(jsd["everywhere"][name], 4)) for name, pair in PAIRS.items()]
    return words.table("jsd-table", rows)
