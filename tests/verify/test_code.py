"""Programs as answers: read whole, run on their tests in the sandbox, and never elsewhere."""

import pytest

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem
from reasonmaxxer.sandbox import backend, bubblewrap
from reasonmaxxer.verify import Verifier, check_gradable

TESTS = {"tests": "assert double(2) == 4", "entry_point": "double"}
DOUBLE = Problem("p", "Double it.", "def double(x): return 2 * x", "code", "code", TESTS)
HIDDEN = Problem("h", "Double it.", "", "code", "code", {**TESTS, "hidden_tests": "assert double(3) == 6"})
HELPED = Problem(
    "c", "", "", "code", "code",
    {"tests": "def check(c): assert helper(c(2))\ncheck(double)", "entry_point": "double",
     "preamble": "def helper(x): return x == 4\n"},
)  # fmt: skip
needs_sandbox = pytest.mark.skipif(not backend().program, reason=f"no sandbox: {backend().version}")


def block(code):
    return f"Here it is:\n\n```python\n{code}\n```\nIt doubles."


@needs_sandbox
def test_programs_are_graded_in_order_with_their_reasons():
    programs = [
        (DOUBLE, block("def double(x):\n    return x + x")),
        (DOUBLE, block("def double(x):\n    return x * 3")),
        (DOUBLE, block("def double(x):\n    return y")),
        (DOUBLE, "I cannot do this."),
        (DOUBLE, block("def double(x):\n    while True: pass")),
        (HIDDEN, block("def double(x):\n    return {2: 4}[x]")),
        (HIDDEN, block("def double(x):\n    return x * 2")),
        (HELPED, block("def helper(x):\n    return True\ndef double(x):\n    return 5")),
        (HELPED, block("def double(x):\n    return 4")),
        (Problem("m", "", "12", "maths"), "The answer is 12."),
    ]
    with Verifier(VerifyConfig(timeout=5.0), "chat_code") as verifier:
        grades = verifier.grade(programs)
    assert [grade.outcome.value for grade in grades] == [
        "correct", "wrong", "wrong", "unparsed", "timeout", "wrong", "correct", "wrong", "correct", "correct",
    ]  # fmt: skip
    assert [grade.detail for grade in grades[:4]] == [
        None,
        "AssertionError: assert double(2) == 4",
        "NameError: name 'y' is not defined; assert double(2) == 4",
        "no program was found in the completion",
    ]
    assert grades[0].extracted.strip() == "def double(x):\n    return x + x"


def test_where_nothing_can_run_programs_are_refused_before_anything_is_sampled(monkeypatch):
    monkeypatch.setattr(bubblewrap, "_programs", lambda: iter(()))
    backend.cache_clear()
    try:
        with pytest.raises(
            UserError, match=r"needs a sandbox, and none can run here: no bwrap is installed\..*pip install"
        ):
            check_gradable([DOUBLE], VerifyConfig())
        check_gradable([DOUBLE], VerifyConfig(function="mine.py:grade"))
        check_gradable([Problem("m", "", "12", "maths")], VerifyConfig())
    finally:
        backend.cache_clear()


@needs_sandbox
def test_a_bwrap_that_fails_is_told_with_its_reason(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho setting up uid map: Permission denied >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(bubblewrap, "_programs", lambda: iter([str(tmp_path / "bwrap")]))
    backend.cache_clear()
    try:
        with pytest.raises(UserError, match="setting up uid map: Permission denied"):
            check_gradable([DOUBLE], VerifyConfig())
    finally:
        backend.cache_clear()
