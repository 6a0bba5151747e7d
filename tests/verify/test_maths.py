"""When two mathematical answers are the same; each case takes the path a worker takes."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.verify.literals import number
from reasonmaxxer.verify.maths import equivalent

SAME = [
    (r"\frac12", r"\frac{1}{2}"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{1}{2}", "1/2"),
    ("0.5", r"\frac12"),
    (r"\frac{9}{7}", r"\dfrac{9}{7}"),
    (r"\dfrac{9}{7}", "9/7"),
    (r"\frac{1}{3}", "0.333333"),
    ("1/3", "0.333333"),
    ("-1./3", r"-\frac{1}{3}"),
    ("50", r"50\%"),
    (r"50\%", "50"),
    (r"50\%", "50%"),
    (r"x=5", "5"),
    ("5", "x=5"),
    (r"\sqrt{18}", r"3\sqrt{2}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"90^\circ", "90"),
    (r"$\frac{1}{2}$ m", "0.5"),
    (r"5.4 \text{ cents}", "5.4"),
    (r"\$32,\!348", "32348"),
    ("4.5e33", r"4.5 \times 10^{33}"),
    ("2e-7", r"2 \times 10^{-7}"),
    ("1,2", "2,1"),
    (r"\{1,2\}", "2,1"),
    ("(1,2)", "(1, 2)"),
    ("[1,2)", r"\left[1,2\right)"),
    ("x<3", r"(-\infty,3)"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ \frac{4}{2} \end{pmatrix}"),
    (r"\text{Evelyn}", "Evelyn"),
    (r"\text{June 20}", "june 20"),
    (r"\text{(A)}", "A"),
    ("73", r"\text{73}"),
    ("5", r"\(5\)"),
    ("5", "5 apples"),
    ("(-\\infty, 0)", "$(-\\infty,0)$."),
]
DIFFERENT = [
    ("12", "(1,2)"),
    ("(1,2)", "12"),
    (r"\frac12", "12"),
    ("(1,2)", "(2,1)"),
    ("[1,2)", "[1,2]"),
    ("0.5", r"50\%"),
    (r"50\%", "0.5"),
    (r"\frac12", r"50\%"),
    ("0.5", "50"),
    ("50", "0.5"),
    ("50", "5000"),
    (r"\frac12", "50"),
    ("1/3", "0.3333"),
    ("1/3", "0.333334"),
    ("2", "2.0000001"),
    ("0.0000001", r"2 \times 10^{-7}"),
    (r"\frac{1}{10000000}", "0.00000004"),
    ("1/10000000", "0.00000004"),
    (r"6.7 \times 10^{-8}", "0"),
    ("i", "-i"),
    ("x=5", "x=6"),
    (r"\text{Evelyn}", r"\text{Carla}"),
    ("x", "y"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"),
    (r"(-\infty,3)", "x<3"),
]


@pytest.mark.parametrize(("gold", "extracted"), SAME)
def test_same(gold, extracted):
    assert equivalent(gold, extracted) is True


@pytest.mark.parametrize(("gold", "extracted"), DIFFERENT)
def test_different(gold, extracted):
    assert equivalent(gold, extracted) is False


@pytest.mark.parametrize("text", ["(((((", "5\0", "\ud800", "😀", "\u202e5", "9**9", "1" * 1001])
def test_unparsed(text):
    assert equivalent("x", text) is None


def test_an_unreadable_gold_answer_is_an_error():
    with pytest.raises(ValueError, match=r"gold answer '\(\(\('"):
        equivalent("(((", "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", Fraction(12)),
        ("-1,234.50", Fraction(-12345, 10)),
        ("+.5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("007", Fraction(7)),
        ("3/4", Fraction(3, 4)),
        (r"\$18", Fraction(18)),
        (r" 50\% ", Fraction(50)),
        ("1{,}234", Fraction(1234)),
        ("−3", Fraction(-3)),
        ("6.0e2", Fraction(600)),
        ("1E-2", Fraction(1, 100)),
        ("1/0", None),
        ("12,34", None),
        ("1 2", None),
        ("1e400000000", None),
        ("1" * 1001, None),
        ("٣", None),
        (".", None),
        ("", None),
        ("%", None),
        ("x", None),
        ("1_000", None),
    ],
)
def test_number(text, value):
    assert number(text) == value


@given(st.text() | st.text(alphabet="0123456789,.$%-/e\\{} !"))
def test_any_text_is_a_number_or_not(text):
    value = number(text)
    assert value is None or (isinstance(value, Fraction) and re.search(r"[0-9]", text))


@given(st.fractions(), st.fractions())
def test_fractions_are_compared_exactly(a, b):
    assert equivalent(f"{a}", f"{a.numerator * 3}/{a.denominator * 3}") is True
    if a.denominator == b.denominator == 1:
        assert equivalent(f"{a}", f"{b}") is (a == b)
