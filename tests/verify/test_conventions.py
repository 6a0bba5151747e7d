"""What each benchmark asks of an answer, through the grading processes."""

import pytest

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Outcome, Verifier
from reasonmaxxer.verify.conventions import Conventions, conventions_of

CASES = [
    # MATH: exact; a rounded decimal is another number
    ("math500", {}, r"\frac{\sqrt{3}}{2}", "0.866", False),
    ("math500", {}, r"\frac{\sqrt{3}}{2}", "0.866025", True),
    ("math-train", {}, "1.6", "1.61", False),
    ("gsm8k", {}, "72", r"\$72.00", True),
    ("gsm8k", {}, "72", "72 clips", True),
    ("gsm8k-train", {}, "1080", "1,080", True),
    # AIME: leading zeros
    ("aime24", {}, "25", "025", True),
    ("aime25", {}, "70", "7", False),
    # AMC: the contest's letter before the value says nothing
    ("amc23", {}, "27", r"\textbf{(C)}\ 27", True),
    ("amc23", {}, "27", "C. 27", True),
    ("amc23", {}, "27", "(C)", False),
    ("math500", {}, "27", r"\textbf{(C)}\ 28", False),
    # a tolerance is OlympiadBench's alone, and a number
    ("gsm8k", {"error": 3}, "5", "6", False),
    (None, {"error": "inf"}, "5", "6", False),
    ("olympiadbench", {"error": "inf"}, "5", "6", False),
    # Minerva: one per cent, of numbers only
    ("minerva", {}, "4.5e33", r"4.46 \times 10^{33}", True),
    ("minerva", {}, "4.5e33", r"4.4 \times 10^{33}", False),
    ("minerva", {}, "-1./3", "-0.33", True),
    ("minerva", {}, "2.88e-19", "5e-19", False),
    ("minerva", {}, "np.arcsin(10/13)", "0.878", True),
    ("minerva", {}, "np.arcsin(10/13)", r"\sin^{-1}(10/13)", True),
    ("minerva", {}, r"\frac{2}{3} \frac{C}{S}", r"0.6667 \frac{C}{S}", False),
    ("minerva", {}, r"x_{0} \cos (\omega t)+$ $\dot{x}_{0} \sin (\omega t) / \omega",
     r"\frac{\dot{x}_0}{\omega}\sin(\omega t) + x_0\cos(\omega t)", True),
    ("minerva", {}, r"m \frac{d v}{d t}+b v=f", r"f = m\frac{dv}{dt} + bv", True),
    ("minerva", {}, r"m \frac{d v}{d t}+b v=f", r"f = m\frac{dv}{dt} - bv", False),
    # OlympiadBench: the row's own error, several answers in any order
    ("olympiadbench", {"error": "1e-1"}, "4.2", "4.28", True),
    ("olympiadbench", {"error": "1e-1"}, "4.2", "4.4", False),
    ("olympiadbench", {"error": None}, "4.2", "4.28", False),
    ("olympiadbench", {"is_multiple_answer": True}, "$100,200$", "200, 100", True),
    ("olympiadbench", {"is_multiple_answer": True}, "$100,200$", "100200", False),
    ("olympiadbench", {"is_multiple_answer": False}, "$100,200$", "100200", True),
    ("olympiadbench", {}, r"$(-\infty, 0) \cup\{1\}$.", r"\{1\} \cup (-\infty,0)", True),
    ("olympiadbench", {"unit": "km/h"}, r"$\frac{600}{7}$", r"\frac{600}{7} \text{ km/h}", True),
    # no benchmark, or one that is not known: exact
    (None, {}, "1.6", "1.61", False),
    ("mine", {}, "1.6", "1.61", False),
]  # fmt: skip


@pytest.fixture(scope="module")
def grades():
    items = []
    for benchmark, row, gold, answer, _ in CASES:
        metadata = {**row, **({"benchmark": benchmark} if benchmark else {})}
        items.append((Problem("p", "?", gold, "d", metadata=metadata), rf"\boxed{{{answer}}}"))
    with Verifier(VerifyConfig(timeout=30), "qwen_boxed") as verifier:
        return verifier.grade(items)


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{CASES[i][3]}")
def test_benchmark(grades, index):
    expected = Outcome.CORRECT if CASES[index][-1] else Outcome.WRONG
    assert grades[index].outcome is expected, (CASES[index], grades[index])


def test_what_each_benchmark_asks_for():
    row = {"error": "0.1", "is_multiple_answer": True}
    problems = {name: Problem("p", "?", "1", "d", metadata={**row, "benchmark": name}) for name in CATALOGUE}
    asked = {name: conventions_of(problem, VerifyConfig()) for name, problem in problems.items()}
    assert {name: how for name, how in asked.items() if how != Conventions()} == {
        "minerva": Conventions(relative_tolerance=0.01),
        "olympiadbench": Conventions(absolute_tolerance=0.1, several=True),
    }


@pytest.mark.parametrize("error", ["", None, "none", "-1", [], {}, "inf", "nan", 1e400])
def test_an_error_that_is_no_tolerance_is_none(error):
    row = {"error": error, "benchmark": "olympiadbench"}
    problem = Problem("p", "?", "1", "d", metadata=row)
    assert conventions_of(problem, VerifyConfig()) == Conventions()
