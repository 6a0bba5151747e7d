"""The page of `intervene`: what becomes of answers when tokens of one model are put into the other's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.microscope.policies import HIGHLIGHTED, POLICIES
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import number, pair_name, share, signed
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import token_text
from reasonmaxxer.report.words import Words

DIRECTIONS = {
    "forward": ("Tuned tokens in the base's text", "base", "tuned model"),
    "reverse": ("Base tokens in the tuned model's text", "tuned model", "base"),
}
"""Title, host and donor of each direction."""
SHOWN_SEARCHED = 30
SHOWN_PROBLEMS = 20
"""Most that the viewer in the page shows."""

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `intervene`."""
    found = read_object(folder / "summary.json", ("schema",))
    words = words_of(found)
    return words.content(
        title=pair_name(found),
        sections=[
            Section("result", "What the tokens do", [_accuracy(words)], [policy_table(words)]),
            *_doses(words),
            *_fewest(words),
            _viewer(folder, words),
        ],
        facts=measured_with({arm: found[arm] for arm in ARMS}, found["protocol"]),
    )


def words_of(found: Found) -> Words:
    """Its words."""
    base, tuned, *rows = found["rows"]
    return Words(
        "intervene",
        found,
        base=base,
        tuned=tuned,
        rows=rows,
        directions=DIRECTIONS,
        highlighted=HIGHLIGHTED,
        controls={name: kind.control for name, kind in POLICIES.items()},
        fewest=found["fewest"] or {"failed": 0},
    )


def _accuracy(words: Words) -> Panel:
    """Both models, and the policies that are no dose of another."""
    rows = [row for row in words.found["rows"] if (row["budget"] or "").partition("=")[0] not in figures.KINDS]
    return words.panel("policies", figures.interventions_accuracy(rows))


def policy_table(words: Words) -> Table:
    """Every policy and budget."""
    rows = [_policy_row(row) for row in words.found["rows"]]
    return words.table("policy-table", rows, headline=(0, 1, 2, 3, 7))


def _policy_row(row: Found) -> tuple[str, ...]:
    mark = " (by construction)" if row["by_construction"] else ""
    return (
        row["name"],
        number(row["accuracy"], 3),
        *(("", "") if row["policy"] == "base" else (signed(row["minus_base"]), f"{row['minus_base']['p_value']:.2g}")),
        "" if row["policy"] == "tuned" else signed(row["minus_tuned"]),
        share(row["touched_share"]),
        share(row["changed_share"]),
        f"{row['edits_per_problem']:.2f}",
        f"{row['identical_share']:.0%}{mark}",
        f"{row['passes_per_token']:.2f}",
    )


def _doses(words: Words) -> list[Section]:
    base, tuned = (row["accuracy"]["value"] for row in words.found["rows"][:2])
    drawn = []
    for direction, (_, host, _) in DIRECTIONS.items():
        curves = [curve for curve in words.found["dose"] if curve["direction"] == direction]
        if curves:
            ends = (base, tuned) if host == "base" else (tuned, base)
            panel = words.panel("dose", figures.dose_response(curves, *ends), direction=direction)
            drawn.append(replace(panel, name=f"dose-{direction}"))
    return [Section("dose", "Dose and response", drawn)] if drawn else []


def _fewest(words: Words) -> list[Section]:
    fewest = words.found["fewest"]
    if not fewest or not fewest["failed"]:
        return []
    drawn = words.panel("fewest", figures.fewest_edits_histogram(fewest["histogram"], fewest["control"]))
    return [Section("few", "The fewest edits", [drawn], [_searched(words)])]


def _searched(words: Words) -> Table:
    solved = [row for row in words.found["fewest"]["problems"] if row["edits"]]
    shown = sorted(solved, key=lambda row: row["edits"])[:SHOWN_SEARCHED]
    rows = [
        (row["problem_id"], str(position + 1), token_text(before), token_text(after))
        for row in shown
        for position, before, after in zip(row["positions"], row["from"], row["to"], strict=True)
    ]
    return replace(words.table("fewest-table", rows, solved=len(solved), shown=len(shown)), tokens=(2, 3))


def _viewer(folder: Path, words: Words) -> Section:
    data = viewer_data(folder, SHOWN_PROBLEMS)
    note = words.text("viewer", left_out=data["left_out"], shown=len(data["problems"]))
    return Section("texts", "The answers", note=note, viewer=viewer_fragment(data))
