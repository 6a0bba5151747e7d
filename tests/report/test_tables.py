"""Cells that Markdown or LaTeX would read as more than text."""

import pytest

from reasonmaxxer.report.content import Table
from reasonmaxxer.report.render import latex, markdown
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
