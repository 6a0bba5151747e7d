"""Cells that Markdown or LaTeX would read as more than text."""

import pytest

from reasonmaxxer.report.content import Table
from reasonmaxxer.report.render import latex, markdown
from reasonmaxxer.report.tables import kinds_tables
from reasonmaxxer.report.visible import token_text


def written(cell):
    return markdown("m", [], [Table("t", "T", ("a", "b"), [(cell, "1")], "")]).splitlines()[-1]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a|b", r"| a\|b | 1 |"),
        ("one\ntwo", "| one two | 1 |"),
        ("<img>", r"| \<img> | 1 |"),
        ("`x` *y*", r"| \`x\` \*y\* | 1 |"),
        ("[a](b)", r"| [a\](b) | 1 |"),
        ("0.5 [0.4, 0.6]", "| 0.5 [0.4, 0.6] | 1 |"),
    ],
)
def test_a_cell_stays_one_cell_of_text(cell, shown):
    assert written(cell) == shown


def test_signs_that_latex_lacks_are_spelled():
    text = latex(Table("t", "T", ("a → b",), [("·⏎<|x|>",)], ""))
    assert r"\caption{T.}" in text and r"a $\rightarrow$ b \\" in text
    signs = r"\textperiodcentered{}$\hookleftarrow$\textless{}\textbar{}x\textbar{}\textgreater{} \\"
    assert signs in text


@pytest.mark.parametrize(
    ("text", "shown"), [(" the", "·the"), ("\n\t", "⏎⇥"), ("", "(empty)"), ("\u202ea", "⟨U+202E⟩a")]
)
def test_white_space_of_a_token_is_seen(text, shown):
    assert token_text(text) == shown


def test_the_commonest_kinds_of_wrong_programs_have_a_row():
    kinds = {"AssertionError": 20, **{f"E{n}Error": 9 - n for n in range(7)}}  # E0Error 9 .. E6Error 3
    parts = {
        "A": {"outcomes": {"wrong": 70}, "wrong_by_kind": kinds},
        "B": {"outcomes": {"wrong": 8}, "wrong_by_kind": {"E6Error": 8}},
        "maths": {"outcomes": {"wrong": 5}},
    }
    (table,) = kinds_tables(parts)
    assert table.columns == ("kind", "A", "B")
    # of both 20, 3 + 8 = 11, 9, 8, 7 and 6; of A 70 - 53 = 17 are left, of B none
    assert table.rows == [
        ("AssertionError", "20", "0"), ("E6Error", "3", "8"), ("E0Error", "9", "0"), ("E1Error", "8", "0"),
        ("E2Error", "7", "0"), ("E3Error", "6", "0"), ("other", "17", "0"),
    ]  # fmt: skip
    assert kinds_tables({"maths": parts["maths"]}) == []
