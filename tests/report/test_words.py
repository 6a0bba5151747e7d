"""Texts of pages, read from their files; the verdict of a run and its caveats."""

import pytest

from reasonmaxxer.report.run import verdict, words_of
from reasonmaxxer.report.words import FOLDER, Words

RECIPE = {"seed": 7, "evaluation": {"confidence": 0.95}}
REST = {
    "environment": {"hardware": {}}, "cost": {"total": {}, "price": {}}, "difference": {"greedy": {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "kind", "words"),
    [
        (0.01, 0.2, "gain", "A gain: the 95% interval"),
        (-0.2, -0.01, "loss", "A loss"),
        (-0.05, 0.2, "open", "includes zero"),
        (0.0, 0.2, "open", "includes zero"),
        (-0.2, 0.0, "open", "includes zero"),
    ],
)
def test_the_verdict_is_the_interval_s(low, high, kind, words):
    arms = {
        name: {"greedy": {"pass@1": {"value": v, "n": 50}}, "sampled": {}}
        for name, v in (("base", 0.14), ("adapted", 0.3))
    }
    found = verdict(words_of({**REST, **arms, "difference": {"greedy": {"low": low, "high": high}}}, RECIPE))
    assert found.kind == kind and words in found.sentence
    assert (found.before, found.after) == ("7", "15") and found.of.startswith("of 50 test problems")


def arm(value, outcomes, truncated=0.0):
    estimate = {"value": value, "low": 0.0, "high": 1.0, "n": 50}
    return {
        "greedy": {"pass@1": estimate}, "sampled": {"pass@4": estimate},
        "outcomes": outcomes, "truncated_share": truncated,
    }  # fmt: skip


@pytest.fixture
def summary():
    return {
        "base": arm(0.5, {"correct": 25, "wrong": 25}),
        "adapted": arm(0.6, {"correct": 30, "wrong": 20}),
        "training": {"steps": 20, "planned_steps": 40, "validation_problems": 30},
        "cost": {"total": {}, "price": {"estimated": False}},
    }


def said(summary):
    return " ".join(words_of({**REST, **summary}, RECIPE).texts("caveats"))


def test_every_run_is_told_of_its_seed_and_its_choice(summary):
    assert "One seed (7)" in said(summary) and "50 test problems" in said(summary)
    assert "30 validation problems" in said(summary)
    for absent in ("cut", "no answer", "failed", "fell", "last one", "assumed", "Only greedy"):
        assert absent not in said(summary)


def test_each_weakness_is_named(summary):
    summary["base"] |= {"truncated_share": 0.3, "outcomes": {"wrong": 44, "unparsed": 6}}
    summary["adapted"]["outcomes"] = {"correct": 47, "timeout": 2, "error": 1}
    summary["adapted"]["sampled"] = {"pass@4": {"value": 0.4}}
    summary["training"]["steps"] = 40
    summary["cost"]["price"]["estimated"] = True
    text = said(summary)
    assert "30% of the base's completions" in text
    assert "In 12% of the base's completions no answer" in text
    assert "Grading failed on 3 of the adapted model's 50" in text
    assert "Sampled pass@4 fell" in text
    assert "the last one" in text and "assumed" in text


def test_no_samples_says_what_is_not_known(summary):
    for name in ("base", "adapted"):
        summary[name]["sampled"] = {}
    assert "Only greedy completions" in said(summary)


def test_a_block_is_a_title_paragraphs_and_columns():
    words = Words("overlap", {}, jsd={"tau": 0.8})
    assert words.block("jsd-table") == (
        "Jensen-Shannon divergence, nats",
        ["Means over positions."],
        ("models", "entropy above 0.8 nats", "all positions"),
    )
    first, second = words.texts("caveats")
    assert first.startswith("Both models read") and second.endswith(
        "a model that edits nearly everywhere overlaps with any other."
    )


def test_what_a_value_holds_is_neither_a_template_nor_structure():
    words = Words("evaluate", {}, against={"model": {"name": "{{ 7 * 7 }}\n| x |\n# y"}})
    title, _, columns = words.block("against-table")
    assert title == "Minus {{ 7 * 7 }} | x | # y" and columns[0] == "benchmark" and len(columns) == 5


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.j2")), ids=lambda path: path.stem)
def test_every_block_is_asked_for(path):
    asking = "".join((FOLDER.parents[1] / name).read_text() for name in (f"{path.stem}.py", "words.py"))
    blocks = [line.split()[2] for line in path.read_text().splitlines() if line.startswith("% block ")]
    assert blocks and [name for name in blocks if f'"{name}"' not in asking.replace("-", "_")] == []
