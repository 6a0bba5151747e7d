"""The second opinion, held to answers judged by hand; it must never hang."""

import time

import pytest
from arithmetic import Group, UnreadableError, read_value
from hypothesis import given
from hypothesis import strategies as st
from second import agreement, second_opinion

from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Outcome
from reasonmaxxer.verify.conventions import Conventions
from tests.verify.test_maths import DIFFERENT, SAME

UNDECIDED = {
    (r"\frac{1}{3}", "0.333333"),  # is it rounded, or another number?
    ("1/3", "0.333333"),
    ("1/3", "0.333334"),
    ("2", "2.0000001"),
    ("x<3", r"(-\infty,3)"),
    (r"(-\infty,3)", "x<3"),
}


@pytest.mark.parametrize(("gold", "extracted"), SAME)
def test_it_agrees_on_what_is_the_same(gold, extracted):
    expected = None if (gold, extracted) in UNDECIDED else True
    assert second_opinion(gold, extracted) in (expected, None)
    assert second_opinion(gold, extracted) is not False


@pytest.mark.parametrize(("gold", "extracted"), DIFFERENT)
def test_it_agrees_on_what_is_different(gold, extracted):
    assert second_opinion(gold, extracted) is not True


def test_it_can_read_most_of_them():
    opinions = [second_opinion(*pair) for pair in SAME + DIFFERENT]
    assert opinions.count(None) <= 0.2 * len(opinions)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        (r"1\frac{1}{2}", 1.5),
        (r"-2^2", -4),
        (r"2^{-1}", 0.5),
        (r"\frac12", 0.5),
        (r"3!", 6),
        (r"2(3+4)/7", 2),
        (r"\sqrt[3]{-8}", -2),
        (r"\sqrt{9}", 3),
        (r"\log_2 8", 3),
        (r"\sin^2 2 + \cos^2 2", 1),
        (r"1,234", 1234),
        (r"e^{i\pi}", -1),
        (r"6 \times 10^{3}", 6000),
    ],
)
def test_values(text, value):
    assert abs(complex(read_value(text, 1)) - value) < 1e-12


def test_structures():
    assert read_value("(1,2]", 1) == Group("(]", (1, 2))
    assert read_value(r"\{1,2\}", 1) == Group(r"\{\}", (1, 2))
    assert read_value("52_8", 1) == Group("_", (52, 8))
    rows = (Group("row", (1, 2)), Group("row", (3, 4)))
    assert read_value(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", 1) == Group("matrix", rows)


@pytest.mark.parametrize("text", ["", "1 2", "(1", "1)", r"\frac{1}", r"\foo{", "f(0)", "1__2", "٣"])
def test_unreadable(text):
    with pytest.raises(UnreadableError):
        read_value(text, 1)


def test_tolerance_is_the_benchmarks():
    near = Conventions(relative_tolerance=0.01)
    assert second_opinion("1.6", "1.61", near) is True
    assert second_opinion("1.6", "1.62", near) is False
    assert second_opinion("125-1.25 P", "125-1.26 P", near) is False  # no number
    assert second_opinion("4.2", "4.29", Conventions(absolute_tolerance=0.1)) is True


def test_an_equation_without_variables_is_left_undecided():
    assert second_opinion(r"0.56 = 56\%", r"0.56 = 57\%") is None


def test_disagreements_are_counted():
    def graded(gold, extracted, outcome):
        return Problem("p", "?", gold, "d"), extracted, outcome

    found = agreement(
        [
            graded("1/2", "0.5", Outcome.CORRECT),
            graded("1/2", "0.5", Outcome.WRONG),  # a false negative
            graded("12", "(1,2)", Outcome.CORRECT),  # a false positive
            graded("12", "13", Outcome.WRONG),
            graded("x<3", "x > 3", Outcome.WRONG),  # unreadable
            graded("12", None, Outcome.UNPARSED),
            graded("12", "13", Outcome.TIMEOUT),
        ]
    )
    assert (found.compared, found.undecided, found.disagreed_share) == (4, 1, 0.5)
    assert [d.extracted for d in found.disagreements] == ["0.5", "(1,2)"]
    assert agreement([]).disagreed_share == 0


HOSTILE = [
    "9^{9^{9^{9}}}", "2^{2^{2^{2^{50}}}}", "10^{10000}", "(" * 399, "{" * 10**6, r"\sqrt{" * 60, "-" * 399,
    "1" * 399, "5!!!!!", "170!^{170!}", r"\frac" * 79, "1/0", r"\sqrt[0]{5}", r"\log 0", "1," * 199,
    "__import__('os')", r"\begin{pmatrix} 1 & 2", "\0", "\ud800", r"\pm" * 100,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_answers_take_no_time(text):
    start = time.process_time()
    assert second_opinion("5", text) is not True
    assert second_opinion(text, "5") is not True
    assert time.process_time() - start < 5


@given(st.text() | st.text(alphabet=r"0123456789\{}()[]^_+-*/,.!=xyeipmfracsqrt "))
def test_any_text_has_an_opinion(text):
    assert second_opinion(text, "5") in (True, False, None)
    assert second_opinion(text, text) is not False


@given(st.fractions(), st.fractions())
def test_fractions_are_compared_exactly(a, b):
    same = second_opinion(f"{a}", rf"\frac{{{b.numerator}}}{{{b.denominator}}}")
    assert same is (a == b) or (same is None and abs(a - b) <= abs(a) / 10**5)
