"""Problems whose answers are programs, from any file."""

import json

import pytest

from reasonmaxxer.config import SourceConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import load_problems, problems_from_table, problems_table
from reasonmaxxer.problems.code import before_function, entry_point_of

ROW = {"problem": "Add two numbers.  ", "tests": "assert add(1, 2) == 3\n", "entry_point": "add"}
STUB = 'import math\n\n\n@cache\ndef f(a):\n    """ Doc. """\n'


@pytest.fixture
def load(tmp_path):
    def read(*rows, **fields):
        path = tmp_path / "mine.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_problems(SourceConfig(source=str(path), **fields), 0, "problems.train")

    return read


def test_a_row_with_tests_is_a_problem_of_code(load):
    hidden = {"hidden_tests": ["assert add(0, 0) == 0", "assert add(2, 2) == 4"], "answer": "add = sum", "level": 2}
    first, second = load(ROW, {**ROW, **hidden, "domain": "sums"})
    shown = "Add two numbers.\n\nYour code should pass these tests:\n\nassert add(1, 2) == 3"
    assert (first.id, first.text, first.answer, first.domain, first.verifier) == ("mine/0", shown, "", "code", "code")
    assert first.metadata == {"tests": "assert add(1, 2) == 3\n", "entry_point": "add"}
    assert (second.text, second.answer, second.domain) == (shown, "add = sum\n", "sums")
    assert second.metadata["hidden_tests"] == "assert add(0, 0) == 0\nassert add(2, 2) == 4\n"
    assert second.metadata["level"] == 2
    assert problems_from_table(problems_table([first, second])) == [first, second]


def test_asserts_alone_are_shown(load):
    shown = "assert add(x, 2) == math.floor(\n    3.5)"
    tests = f"import math\nx = 1  # one\n{shown}  # three\nfor y in (1, 2):\n    assert add(y, y)\n"
    (problem,) = load({**ROW, "tests": tests})
    assert problem.text.endswith(f"tests:\n\n{shown}")
    assert problem.metadata["tests"] == tests
    (problem,) = load({**ROW, "tests": "def check(f):\n    assert f(1, 2) == 3"})
    assert problem.text == "Add two numbers."
    assert problem.metadata["tests"] == "def check(f):\n    assert f(1, 2) == 3\n\ncheck(add)\n"


def test_text_that_a_solution_continues_is_kept_as_it_is(load):
    row = {"prompt": STUB, "tests": "assert f(1) == 2", "entry_point": "f"}
    for solution in ("    return 2 * a", f"{STUB}    return 2 * a\n"):
        (problem,) = load({**row, "solution": solution})
        assert (problem.text, problem.answer) == (STUB, f"{STUB}    return 2 * a\n")
        assert problem.metadata["prompt"] == STUB and problem.metadata["preamble"] == "import math\n\n\n"
    (problem,) = load({**row, "prompt": "def f(a):\n    "})  # without a body
    assert (problem.text, problem.answer, "preamble" in problem.metadata) == ("def f(a):\n", "", False)


def test_where_a_function_begins_that_a_text_ends_in():
    assert before_function(STUB) == before_function(STUB, "f") == "import math\n\n\n"
    assert before_function(STUB, "g") is None
    for text in ("Add two numbers.", "add", "Write f:\ndef f(a):", "def f(a):\n    return a\nprint(1)\n", "\0", ""):
        assert before_function(text) is None


def test_which_function_tests_call():
    code = "def g(a): return a\nclass A: pass\ndef f(a): return a"
    assert entry_point_of(["x = g(1)", "assert set(f(A())) == 1"], code) == "f"
    assert entry_point_of("assert sum([1]) == 1", code) == entry_point_of("assert f(1)", "def") == ""


@pytest.mark.parametrize(
    "change, said",
    [
        ({"tests": None}, r"row 0 .* has no tests in 'tests'; write asserts that call add"),
        ({"tests": " \n"}, r"has no tests in 'tests'"),
        ({"tests": 3}, r"must hold Python text, or a list of it, in 'tests', not 3"),
        ({"tests": "assert add(1"}, r"has tests in 'tests' that are not Python: '\(' was never closed"),
        ({"hidden_tests": "assert"}, r"has tests in 'hidden_tests' that are not Python"),
        ({"entry_point": "a.b"}, r"must name the function that is tested in 'entry_point', not 'a\.b'"),
        ({"entry_point": None}, r"must name the function"),
        ({"problem": " "}, r"has no text or number in 'problem'"),
    ],
)
def test_rows_that_cannot_be_tested_are_refused(load, change, said):
    with pytest.raises(UserError, match=said):
        load({**ROW, **change})


def test_a_table_with_one_of_the_two_columns_is_refused(load):
    for column, other in (("tests", "entry_point"), ("entry_point", "tests")):
        row = {"problem": "?", "answer": "1", column: "f"}
        with pytest.raises(UserError, match=rf"has a column '{column}' but none called '{other}'"):
            load(row)
