"""When two mathematical answers are the same; each case takes the path a worker takes."""

import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.problems.answers import answer_of, gold_answer
from reasonmaxxer.verify.conventions import EXACT, Conventions
from reasonmaxxer.verify.latex import clean
from reasonmaxxer.verify.maths import compare
from reasonmaxxer.verify.quantities import quantity
from tests.verify.cases import CASES


def equivalent(gold, extracted, conventions=EXACT):
    return compare(gold, extracted, conventions)[0]


def number(text):
    found = quantity(clean(text), Conventions())
    return found and found.value


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
    # numbers: mixed, thousands, leading zeros, decimals, scientific
    (r"1\frac{4}{5}", "9/5"),
    (r"137 \frac{1}{2}", "137.5"),
    ("9/5", "1 4/5"),
    (r"-1\frac{1}{2}", "-1.5"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("111, \\! 111, \\! 111", "111111111"),
    ("58,500", "58500"),
    (r"\frac{12}{5,\!525}", r"\frac{12}{5525}"),
    ("25", "025"),
    (".0000672", r"6.72 \times 10^{-5}"),
    (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}^\circ"),
    # units and currencies
    (r"864 \mbox{ inches}^2", "864"),
    ("18", r"18\text{ dollars}"),
    ("18", "18 dollars per day"),
    ("5", "5 m"),
    ("5", "5cm^2"),
    ("18", "$18.00"),
    # LaTeX that math-verify alone does not parse
    (r"\frac \pi4 + 2 - \sqrt2", r"2 + \frac{\pi}{4} - \sqrt{2}"),
    ("np.arcsin(10/13)", r"\arcsin\left(\frac{10}{13}\right)"),
    ("E_{1},E_{2}", "E_1, E_2"),
    (r"\lambda_{\text {red}} / \sqrt{2}", r"\frac{\lambda_{\text{red}}}{\sqrt2}"),
    ("√13/2", r"\frac{\sqrt{13}}{2}"),
    # several answers
    ("3, 5, 7", r"3, 5 \text{ and } 7"),
    ("$69$,$84$", "84, 69"),
    ("-2,-2", "-2, -2"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}"),
    (r"\{1\pm\sqrt{5},-2\}", r"-2, 1+\sqrt5, 1-\sqrt5"),
    ("$f(x)=x$,$f(x)=2-x$", "f(x) = 2-x, f(x) = x"),
    (r"a=2, a=-6-4\sqrt{2}", r"-6-4\sqrt{2}, 2"),
    ("x = 1", "x=1.0"),
    ("$(1,8,19), (2,7,13)$", "(2,7,13),(1,8,19)"),
    (r"\text{B, E, G}", "E, B, G"),
    # intervals, unions, tuples, vectors
    (r"x \in [-2,7]", "[-2,7]"),
    ("[-2,7]", r"x \in [-2,7]"),
    (r"(-\infty,2)\cup(3,\infty)", r"(3,\infty) \cup (-\infty, 2)"),
    (r"\left(\frac35,\frac83\right]", "(0.6, 8/3]"),
    ("(1,2)", "1, 2"),
    (r"(45^{\circ}, 60^{\circ})", "(45,60)"),
    (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{bmatrix} -\frac13 \\ \frac23 \end{bmatrix}"),
    # equations
    ("y = 2x + 3", "2x+3"),
    ("y = 2x + 3", "y - 2x = 3"),
    ("5x - 7y + 11z + 4 = 0", "10x - 14y + 22z + 8 = 0"),
    ("m = k/x", "mx = k"),
    ("MR=SRMC", "SRMC = MR"),
    (r"m_{\max }=n^{2}-n-1", "n^2-n-1"),
    (r"k \geqslant 2", r"k \ge 2"),
    # numerals with a base, which may be left out
    ("4210_{5}", "4210_5"),
    ("4210_{5}", "4210"),
    ("x", "x = x"),
    (r"\approx 8.24 \text{ mph}", "8.24"),
    (r"\begin{pmatrix} 1 & \phantom -1 \end{pmatrix}", r"\begin{pmatrix} 1 & 1 \end{pmatrix}"),
    (r"2^{2008}-2", r"2(2^{2007}-1)"),
    # words and choices
    (r"\text{(C)}", "C"),
    (r"\text{(C)}", "(C) 12"),
    (r"\text{even}", r"\text{ Even}."),
    ("3R^2", "3r^2"),
    (r"\sqrt{2}", r"\sqrt{2} \approx 1.414"),
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
    (r"(1,2)", "2,1"),
    ("2,1", "(1,2)"),
    ("2", "2,2"),
    # what math-verify 0.9 calls equal
    ("-2,-2", "-2"),
    ("4210_5", "4210_8"),
    ("-221_3", "-221_4"),
    ("1", "1 4/5"),
    (r"\frac{1}{m} t", r"\frac{1}{m}"),
    ("7.6 Z", "7.6"),
    (r"\frac{dM}{dt}=k M^{6}", r"\frac{dM}{dt}=k M^{7}"),
    ("x^2+y^2+1=0", "x^2+y^2+2=0"),
    (r"\frac{1}{2004!}", r"\frac{1}{2005!}"),
    (r"\frac{R-r}{2}", "0"),
    (r"\text{evil}", r"\text{live}"),
    # and others
    ("4210_5", "555"),
    (r"2^{100}-2", r"2^{100}-3"),
    (r"2^{2008}-2", r"2^{2008}-3"),
    (r"\frac{4036082}{4036081}", "1"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}"),
    (r"\text{(C)}", "B"),
    ("(3,4]", "[3,4]"),
    ("5", "5n"),
    ("5", "5x"),
    ("10", "10 million"),
    ("62.5%", "0.625"),
    ("3, 5, 7", "3, 5"),
    (r"\pi", "3.14"),
    ("x = 5", "y = 5"),
    (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\lfloor n/2 \rfloor", r"\lfloor (n-1)/2 \rfloor"),
]


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in CASES}))
def test_answers_and_completions_by_kind(kind):
    unlike = []
    for _, gold, prediction, right in (case for case in CASES if case[0] == kind):
        answer = answer_of(prediction)
        paid = answer is not None and equivalent(gold_answer(gold) or gold, answer) is True
        unlike += [] if paid is right else [(gold, prediction, answer)]
    assert unlike == []


@pytest.mark.parametrize(("gold", "extracted"), SAME)
def test_same(gold, extracted):
    assert equivalent(gold, extracted) is True


@pytest.mark.parametrize(("gold", "extracted"), DIFFERENT)
def test_different(gold, extracted):
    assert equivalent(gold, extracted) is False


@pytest.mark.parametrize("text", ["(((((", "5\0", "\ud800", "😀", "\u202e5", "9**9", "1" * 1001])
def test_unparsed(text):
    assert equivalent("x", text) is None


def test_a_verdict_that_is_not_math_verifys_says_why():
    same, note = compare("x^2+y^2+1=0", "x^2+y^2+2=0")
    assert same is False
    assert note is not None and "neither has a solution" in note


def test_conventions_of_taste():
    assert equivalent(r"50\%", "0.5", Conventions(percent="hundredths")) is True
    assert equivalent(r"50\%", "50", Conventions(percent="hundredths")) is False
    assert equivalent("5 hours", "5 minutes", Conventions(units="dropped")) is True
    assert equivalent("1, 2", "2, 1", Conventions(order="given")) is False
    assert equivalent("red, blue", "blue, red", Conventions(order="given")) is False


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
        ("12,34", Fraction(1234, 100)),
        ("1 2", None),
        ("1e400000000", None),
        ("1" * 1001, None),
        ("٣", Fraction(3)),
        ("seven", Fraction(7)),
        ("5 million", Fraction(5000000)),
        ("5 km", Fraction(5)),
        ("5 squared", None),
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
    numeric = any(unicodedata.numeric(sign, None) is not None for sign in text)
    assert value is None or (isinstance(value, Fraction) and numeric)


@given(st.fractions(), st.fractions())
def test_fractions_are_compared_exactly(a, b):
    assert equivalent(f"{a}", f"{a.numerator * 3}/{a.denominator * 3}") is True
    if a.denominator == b.denominator == 1:
        assert equivalent(f"{a}", f"{b}") is (a == b)
