"""Words and tables of `diff` and `intervene`, from figures made by hand."""

import pytest

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.config.policies import BUDGETS
from reasonmaxxer.microscope import policies
from reasonmaxxer.microscope.diff import positions_table
from reasonmaxxer.microscope.effects import Effects
from reasonmaxxer.microscope.summary import summarise
from reasonmaxxer.report import diff, figures, intervene
from reasonmaxxer.report.render import latex
from tests.microscope.test_effects import BASE, TUNED, answers, outputs
from tests.microscope.test_summary import PIECES, rollout, scores, table

CONFIG = MicroscopeConfig(bootstrap=200)
MODELS = {arm: {"name": arm, "source": "folder", "dtype": "float32", "fingerprint": "f"} for arm in ("base", "tuned")}
PROTOCOL = {
    "source": "word-problems", "split": "test", "text": "base", "max_new_tokens": 9,
    "confidence": 0.95, "seed": 0, "prompt_style": "chat_template",
}  # fmt: skip


@pytest.fixture
def compared():
    return {"command": "diff", **MODELS, "protocol": PROTOCOL, **summarise(table(), PIECES, CONFIG)}


@pytest.fixture
def intervened():
    made = [
        outputs("oracle", TUNED, [("p0", 1, 9)] * 8),
        outputs("oracle:first=1", answers(0, 0, 1, 1), [("p3", 1, 9)]),
        outputs("random", answers(0, 0, 0, 0), [("p0", 1, 9)]),
    ]
    fewest = {
        "failed": 3,
        "histogram": {"1": 1, "2": 0, "3": 0, "more": 2},
        "control": {"1": 0, "2": 1, "3": 0, "more": 2},
        "problems": [
            {"problem_id": "p0", "edits": 1, "positions": [2], "from": [" a"], "to": [" b"]},
            {"problem_id": "p1", "edits": None, "positions": [], "from": [], "to": []},
        ],
    }
    found = Effects(BASE, TUNED, CONFIG).summary(made)
    return {
        "command": "intervene", **MODELS, "protocol": PROTOCOL, "problems": 4, **found,
        "fewest": fewest,
    }  # fmt: skip


def test_the_finding_is_said_in_words(compared):
    first = diff.words_of(compared).texts("findings")[0]
    assert "the same token at 50.0% [50.0%, 50.0%] of positions" in first
    assert "of the other 3, 66.7% are among the base's top 5" in first  # ranks 2, 3 and 9


def test_the_shares_behind_the_figure_of_classes(compared):
    rows = diff._classes(diff.words_of(compared)).numbers.rows
    assert [name for name, _ in rows] == ["unshifted", "reranked", "shifted"]
    assert [cell.partition(" ")[0] for _, cell in rows] == ["50.00%", "33.33%", "16.67%"]  # 3, 2 and 1 of 6


def test_what_is_unlike_the_published_pairs_is_said(compared):
    said = " ".join(diff.words_of({**compared, "truncated_share": 0.5}).texts("caveats"))
    assert "differ at 50.0% of positions here, at 1.0% to 4.1% in the four published" in said
    assert "50% of the texts were cut" in said and "Only 2 problems" in said


def test_a_pair_sparser_than_the_published_is_said_too(compared):
    compared["agreement"] = {"value": 0.995, "low": 0.991, "high": 1.0}
    said = diff.words_of(compared).texts("caveats")
    assert said[0].startswith("Sparser than published: the choices differ at 0.5% of positions here")
    compared["agreement"] = {"value": 0.97, "low": 0.95, "high": 0.98}
    assert "published: the choices" not in " ".join(diff.words_of(compared).texts("caveats"))


def test_table_2_marks_what_is_published(compared):
    measured, *published = diff.table_2(diff.words_of(compared)).rows
    assert measured[1] == "33.33% [25.00%, 50.00%]" and "measured here" in measured[-1]
    assert len(published) == 4 and all("published" in row[-1] for row in published)
    assert "MATH-500" in latex(diff.table_2(diff.words_of(compared)))


def test_models_that_never_differ_are_drawn_too():
    same = scores(kind_N=[0, 0], base_entropy_N=[0.1, 0.3], forward_rank_N=[1, 1])
    quiet = positions_table([rollout("a", [7, 7])], [same])
    found = {**MODELS, "protocol": PROTOCOL, **summarise(quiet, PIECES, CONFIG)}
    assert "at every one" in diff.words_of(found).texts("findings")[0]
    for draw in (figures.class_shares(found), figures.choice_ranks(found["ranks"])):
        assert "<svg" in figures.svg(draw, "x")


def test_identical_answers_are_marked(intervened):
    rows = {row[0]: row for row in intervene.policy_table(intervene.words_of(intervened)).rows}
    assert rows["oracle"][8] == "100% (by construction)"
    assert rows["oracle:first=1"][8] == "0%"
    assert rows["random"][2].startswith("-0.250")


def test_doses_are_drawn_apart_from_policies(intervened):
    named = [
        label.get_text()
        for label in intervene._accuracy(intervene.words_of(intervened)).figure.axes[0].get_yticklabels()
    ]
    assert named == ["base", "tuned", "oracle", "random"]
    (section,) = intervene._doses(intervene.words_of(intervened))
    assert [panel.name for panel in section.panels] == ["dose-forward"]
    drawn = figures.dose_response(intervened["dose"], 0.25, 0.75)
    (axes,) = drawn.axes
    line = next(one for one in axes.get_lines() if len(one.get_xdata()) == 3)
    assert list(line.get_xdata()) == [0, 0.25, 2] and list(line.get_ydata()) == [0.25, 0.5, 0.75]


def test_the_fewest_edits_are_listed_with_their_tokens(intervened):
    (section,) = intervene._fewest(intervene.words_of(intervened))
    assert section.tables[0].rows == [("p0", "3", "·a", "·b")]


def test_the_oracle_is_said_to_be_an_identity(intervened):
    said = " ".join(intervene.words_of(intervened).texts("findings"))
    assert "Greedy accuracy: base 0.25, tuned 0.75, n = 4." in said
    assert (
        "'oracle' puts in every token that differs" in said and "by construction (100% identical as measured)" in said
    )
    assert "'oracle:first=1': 0.2 changed tokens an answer take the base to 0.50, 50% of the gain." in said
    assert "'oracle:first=1' puts in" not in said


def test_controls_are_held_against_the_base(intervened):
    assert any(
        s.startswith("Random tokens") and "0.00, -0.25 [" in s
        for s in intervene.words_of(intervened).texts("findings")
    )


def test_the_search_is_held_against_luck(intervened):
    assert "enough for 1 of the 3 problems" in intervene.words_of(intervened).texts("findings")[-1]
    assert "for 0: so much is the luck" in intervene.words_of(intervened).texts("findings")[-1]
    intervened["fewest"] = {"failed": 0}
    assert not any("by search" in s for s in intervene.words_of(intervened).texts("findings"))


def test_a_policy_that_is_added_is_decoded_tabled_and_drawn(intervened, monkeypatch):
    third = policies.Kind(lambda at, _: at.base_ids[2], control="The base's third choice at the same places")
    monkeypatch.setitem(policies.POLICIES, "third", third)
    monkeypatch.setitem(BUDGETS, "third", ("all", "first"))
    policy = policies.parse_policy("third:first=2")
    at = policies.Position(host_id=4, donor_id=7, base_ids=[4, 7, 9], entropy=1.0, rank=2, jsd=0.1)
    progress = policy.begin(0, "p0", 4)
    assert policy.edit(progress, "p0", 0, at) == 9
    progress.edits = 2
    assert policy.edit(progress, "p0", 1, at) is None
    rows = Effects(BASE, TUNED, CONFIG).summary([outputs("third", answers(0, 0, 0, 0), [("p0", 1, 9)])])["rows"]
    found = {**intervened, "rows": rows}
    assert any(s.startswith("The base's third choice") for s in intervene.words_of(found).texts("findings"))
    assert intervene.policy_table(intervene.words_of(found)).rows[2][0] == "third"
