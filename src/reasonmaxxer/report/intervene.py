"""The page of `intervene`: what becomes of answers when tokens of one model are put into the other's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.microscope.policies import HIGHLIGHTED, POLICIES
from reasonmaxxer.report import figures
from reasonmaxxer.report.content import Content, Panel, Section, Table, measured_with
from reasonmaxxer.report.numbers import counted, number, pair_name, share, signed
from reasonmaxxer.report.viewer import viewer_fragment
from reasonmaxxer.report.viewer_data import viewer_data
from reasonmaxxer.report.visible import token_text

DIRECTIONS = {
    "forward": ("Tuned tokens in the base's text", "base", "tuned model"),
    "reverse": ("Base tokens in the tuned model's text", "tuned model", "base"),
}
"""Title, host and donor of each direction."""
POLICY_COLUMNS = (
    "policy", "accuracy", "minus base", "p against the base", "minus tuned", "touched tokens", "changed tokens",
    "changed an answer", "identical to the donor's", "passes a token",
)  # fmt: skip
SHOWN_SEARCHED = 30
SHOWN_PROBLEMS = 20
"""Most that the viewer in the page shows."""

Found = Mapping[str, Any]
"""What `summary.json` holds."""


def content(folder: Path) -> Content:
    """The page of a finished folder of `intervene`."""
    found = read_object(folder / "summary.json", ("schema",))
    return Content(
        command="intervene",
        title=pair_name(found),
        lead=lead(found),
        findings=findings(found),
        caveats=caveats(found),
        sections=[
            Section("result", "What the tokens do", [_accuracy(found)], [policy_table(found["rows"])]),
            *_doses(found),
            *_fewest(found["fewest"]),
            _viewer(folder),
        ],
        facts=measured_with({arm: found[arm] for arm in ARMS}, found["protocol"]),
    )


def lead(found: Found) -> str:
    """What was done, to how many answers."""
    protocol = found["protocol"]
    return (
        f"{counted(found['problems'], 'problem')} of {protocol['source']} ({protocol['split']}), answered greedily, "
        f"at most {protocol['max_new_tokens']} tokens each, while tokens of one model are put into the other's answer "
        f"and it goes on from there. Intervals are {protocol['confidence']:.0%} bootstrap over problems; differences "
        "are paired, p is McNemar's exact test."
    )


def findings(found: Found) -> list[str]:
    """What came out, in sentences."""
    base, tuned, *rows = found["rows"]
    accuracies = (f"{arm['name']} {arm['accuracy']['value']:.2f}" for arm in (base, tuned))
    said = [f"Greedy accuracy: {', '.join(accuracies)}, n = {found['problems']}."]
    said += [_identity(row) for row in rows if row["by_construction"]]
    said += [_reranked(row) for row in rows if row["name"] == "oracle:reranked"]
    said += [
        _recovered(row, base, tuned) for row in rows if row["name"] in HIGHLIGHTED and row["budget"] != "reranked"
    ]
    said += [_control(row) for row in rows if is_control(row) and not row["budget"] and row["direction"] == "forward"]
    return [*said, *_searched_words(found["fewest"])]


def _identity(row: Found) -> str:
    _, _, donor = DIRECTIONS[row["direction"]]
    return (
        f"'{row['name']}' puts in every token that differs, so its text is the {donor}'s own greedy answer by "
        f"construction ({row['identical_share']:.0%} identical as measured): that its accuracy is the same is an "
        "identity, not evidence."
    )


def _reranked(row: Found) -> str:
    return (
        f"With reranked tokens alone {row['identical_share']:.0%} of the answers are the tuned model's own, and "
        f"accuracy is {row['accuracy']['value']:.2f}."
    )


def _recovered(row: Found, base: Found, tuned: Found) -> str:
    accuracy, before = row["accuracy"]["value"], base["accuracy"]["value"]
    gain = tuned["accuracy"]["value"] - before
    part = f", {(accuracy - before) / gain:.0%} of the gain" if gain else ""
    edits = f"{row['edits_per_problem']:.1f} changed tokens an answer"
    return f"'{row['name']}': {edits} take the base to {accuracy:.2f}{part}."


def is_control(row: Found) -> bool:
    """Whether a row is of a policy that others are compared with."""
    return row["policy"] in POLICIES and bool(POLICIES[row["policy"]].control)


def _control(row: Found) -> str:
    change = row["minus_base"]
    return (
        f"{POLICIES[row['policy']].control}: {row['accuracy']['value']:.2f}, {change['value']:+.2f} "
        f"[{change['low']:+.2f}, {change['high']:+.2f}] against the base, "
        f"{row['edits_per_problem']:.1f} changed tokens an answer."
    )


def _searched_words(fewest: Found | None) -> list[str]:
    if not fewest or not fewest["failed"]:
        return []
    enough, luck = (fewest[name]["1"] for name in ("histogram", "control"))
    return [
        f"One of the tuned model's tokens is enough for {enough} of the {fewest['failed']} problems that only it "
        f"solves, by search; a token that neither model chose, tried as often at the same places, for {luck}: so much "
        "is the luck of many tries."
    ]


def caveats(found: Found) -> list[str]:
    """What to keep in mind."""
    said = ["A policy that puts tokens in at random uses one draw, the seed's; another seed gives other ones."]
    if found["fewest"] and found["fewest"]["failed"]:
        said.append(
            "The fewest edits are exact for one edit if an answer has few candidates, and an upper bound beyond: not "
            "every combination is tried."
        )
    return said


def _accuracy(found: Found) -> Panel:
    """Both models, and the policies that are no dose of another."""
    rows = [row for row in found["rows"] if (row["budget"] or "").partition("=")[0] not in figures.KINDS]
    return Panel(
        "policies",
        "Accuracy by policy",
        figures.interventions_accuracy(rows),
        "Dotted: the base; dashed: the tuned model. Squares: controls. Hollow: the donor's own answers by "
        "construction, no evidence. Bars: intervals.",
    )


def policy_table(rows: list[Found]) -> Table:
    """Every policy and budget."""
    return Table(
        "policy-table",
        "Policies",
        POLICY_COLUMNS,
        [_policy_row(row) for row in rows],
        "Touched: the policy decided the token; changed: it is another than the host's. Identical: answers that are "
        "token by token the donor's own. Passes: forward passes of either model for each token made; decoding with "
        "one model takes one.",
        headline=(0, 1, 2, 3, 7),
    )


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


def _doses(found: Found) -> list[Section]:
    base, tuned = (row["accuracy"]["value"] for row in found["rows"][:2])
    drawn = []
    for direction, (title, host, donor) in DIRECTIONS.items():
        curves = [curve for curve in found["dose"] if curve["direction"] == direction]
        if curves:
            ends = (base, tuned) if host == "base" else (tuned, base)
            caption = (
                f"Dotted: the {host} alone; dashed: the {donor} alone. Bands: intervals. Hollow: every token that "
                "differs, the donor's answer by construction."
            )
            drawn.append(Panel(f"dose-{direction}", title, figures.dose_response(curves, *ends), caption))
    return [Section("dose", "Dose and response", drawn)] if drawn else []


def _fewest(fewest: Found | None) -> list[Section]:
    if not fewest or not fewest["failed"]:
        return []
    drawn = Panel(
        "fewest",
        "How few are enough",
        figures.fewest_edits_histogram(fewest["histogram"], fewest["control"]),
        f"The {counted(fewest['failed'], 'problem')} that only the tuned model solves: tokens put into the base's "
        "answer that make it right, the base going on from each. The control tries as many, at the same places: the "
        "base's most likely token that neither model chose.",
    )
    return [Section("few", "The fewest edits", [drawn], [_searched(fewest)])]


def _searched(fewest: Found) -> Table:
    solved = [row for row in fewest["problems"] if row["edits"]]
    shown = sorted(solved, key=lambda row: row["edits"])[:SHOWN_SEARCHED]
    return Table(
        "fewest-table",
        "What was put in",
        ("problem", "at token", "base said", "tuned said"),
        [
            (row["problem_id"], str(position + 1), token_text(before), token_text(after))
            for row in shown
            for position, before, after in zip(row["positions"], row["from"], row["to"], strict=True)
        ],
        f"Of {counted(len(solved), 'problem')} that were made right, the first {len(shown)} by number of edits; of "
        "several single edits that are enough, the most divergent. · is a space, ⏎ a line end.",
        tokens=(2, 3),
    )


def _viewer(folder: Path) -> Section:
    data = viewer_data(folder, SHOWN_PROBLEMS)
    note = (
        "Answers of base, tuned model and some policies side by side, from the first token that differs. What a "
        "policy put in is outlined; n and p jump between edits, ? lists the keys."
    )
    if data["left_out"]:
        note += (
            f" {len(data['problems'])} problems are shown, first those that one of the models alone solves; "
            f"{data['left_out']:,} are left out."
        )
    return Section("texts", "The answers", note=note, viewer=viewer_fragment(data))
