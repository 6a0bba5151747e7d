"""Programs read out of completions: whole, wherever they stand, and in linear time."""

import ast
import os
import time
from pathlib import Path

import pytest

from reasonmaxxer.config import SourceConfig, VerifyConfig
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.problems.catalogue import DATA_DIR
from reasonmaxxer.verify import graded_by
from reasonmaxxer.verify.program import read_program

ADD = Problem("p", "Add.", "", "code", "code", {"entry_point": "add", "tests": "assert add(1, 2) == 3\n"})
STUB = 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """ Sum of xs. """\n'
TOTAL = Problem(
    "q", STUB, "", "code", "code",
    {"entry_point": "total", "prompt": STUB, "preamble": "from typing import List\n\n\n"},
)  # fmt: skip
CODE = "def add(a, b):\n    return a + b\n"
BODY = "    s = 0\n    for x in xs:\n        s += x\n    return s\n"
HELPERS = "import math\nfrom a import (\n    b,\n)\n\nLIMIT = 3\n\n\ndef help(a):\n    return math.floor(a)\n"


def run(program, name):
    values = {}
    exec(program, values)
    return values[name]


@pytest.mark.parametrize(
    "completion",
    [
        f"```python\n{CODE}```",
        f"Here you are:\n\n```py\n{CODE}```\n\nIt adds `a` and `b` (don't worry):\n\n```\nadd(1, 2)  # 3\n```\n",
        f"```\n{CODE}```\nThen\n```bash\npython add.py\n```",
        f"```Python3 title=x\n{CODE}````",
        f"Sure! ```python\n{CODE}```",
        f"```python\n{CODE.rstrip()}```",
        f"```python\n{CODE}",
        f"```python\r\n{CODE}```".replace("\n", "\r\n"),
        f"1. Do this:\n   ```python\n   {CODE.rstrip().replace(chr(10), chr(10) + '   ')}\n   ```\n",
        f"```bash\npip install x\n```\n```python\n{CODE}```",
        f"<think>\n```python\ndef add(a, b): return 0\n```\n</think>\n```python\n{CODE}```",
        f"```\nadd(1, 2)\n```\n```python\n{CODE}```\n```python\ndef add(a, b):\n    return 0\n```",
        CODE,
        f"\n\n{CODE}\n",
        f"To add two numbers (see below:\n\n{CODE}\nThis function adds its arguments.\n",
        f"{CODE}\nExplanation: it's a sum",
        f"import the function as follows.\n{CODE}",
        f"{CODE}```\n\nThat was it:\n```python\nprint(add(1, 2))\n```",
    ],
)  # fmt: skip
def test_code_in_prose_and_fences(completion):
    assert read_program(completion, ADD).strip() == CODE.strip()


def test_earlier_blocks_are_kept_where_they_only_define():
    wrong = "def add(a, b):\n    return LIMIT + a\n"
    blocks = "\nand\n".join(f"```python\n{code}```" for code in (HELPERS, "print(1)\n", wrong, CODE))
    text = f"First\n{blocks}"
    assert read_program(text, ADD) == HELPERS + wrong


@pytest.mark.parametrize(
    "more",
    [
        "\n\ndef other(x):\n    return x\n",
        "\nprint(total([1]))\n",
        '\nif __name__ == "__main__":\n    print(total([1]))\n',
        "\nclass A:\n    pass\n",
        "\nThis function sums up its argument's members.\n",
        "\n# Test\nassert total([]) == 0\n",
        "```\n\nExplanation\n```python\ntotal([1])\n```",
        "\n\n\n",
        "",
        "\ndef total(xs):\n    return 0\n",
    ],
)
def test_a_completion_of_the_prompt_ends_where_its_body_ends(more):
    program = read_program(BODY + more, TOTAL)
    assert program.startswith(STUB + BODY) and run(program, "total")([1, 2]) == 3
    assert "print" not in program and "return 0" not in program and "class" not in program


@pytest.mark.parametrize(
    "completion",
    [
        BODY[1:],  # as some tokenizers drop the first space
        BODY.lstrip(),
        "    return sum(\nxs\n)\n",
        '    """\nA string\n"""\n    return sum(xs)\nprint(1)\n',
        "\n\n    # so\n# and so\n    return sum(xs)\n",
        f"```python\n{BODY}```",
        f"The body:\n```python\n{BODY.lstrip()}```",
        "```python\ns = 0\nfor x in xs:\n    s += x\nreturn s\n```",
        "```python\nif not xs:\n    return 0\nreturn sum(xs)\n```",
        f"```python\n{STUB}{BODY}```",
        f"Sure:\n\n```python\ndef total(xs: List[int]) -> int:\n{BODY}```",
        f"def total(xs: List[int]):\n{BODY}\n\nprint(total([1, 2]))",
        f"{STUB}{BODY}",
    ],
)
def test_bodies_and_whole_functions_of_a_prompt(completion):
    assert run(read_program(completion, TOTAL), "total")([1, 2]) == 3


def test_indented_prose_is_no_body_where_a_block_defines_the_function():
    code = f"def total(xs: List[int]) -> int:\n{BODY}"
    assert read_program(f"    Here it is, indented\n\n```python\n{code}```", TOTAL).endswith(f"\n\n\n{code}")


def test_a_last_statement_that_was_cut_off_is_left_out():
    whole = f"{HELPERS}\n\n{CODE}"
    for cut in ("\nprint(add(1,", "\ndef test():\n    assert add(1", '\ns = """'):
        for text in (f"```python\n{whole}{cut}", whole + cut):
            assert run(read_program(text, ADD).replace("from a import (\n    b,\n)", ""), "add")(1, 2) == 3
    for text in (f"```python\n{CODE}\nassert add(1, 2) == 10", f"{CODE}\nprint(add(1, 2))"):
        assert read_program(text, ADD).strip() == CODE.strip()  # a number may have had more digits
    closed = f"{CODE}\nassert add(1, 2) == 3\n"
    assert read_program(f"```python\n{closed}```", ADD) == closed
    assert read_program(f"```python\n{CODE}\nadd = print", ADD) == f"{CODE}\nadd = print\n"
    cut = "def add(a, b):\n    return (a +"
    assert read_program(f"```python\n{cut}", ADD).strip() == cut


def test_a_program_has_what_its_prompt_imports_and_defines():
    code = f"def total(xs: List[int]) -> int:\n{BODY}"
    assert read_program(f"```python\n{code}```", TOTAL) == f"from typing import List\n\n\n{code}"
    future = f"from __future__ import annotations\n\n{code}"
    assert read_program(f"```python\n{future}```", TOTAL) == future


def test_no_code():
    for text in (
        "",
        "\n \n",
        "I cannot (do) that.",
        "The sum of `a` and `b`.",
        "<think>\n```python\ndef add(a, b): 0\n",
    ):
        assert read_program(text, ADD) is read_program(text, TOTAL) is None
    assert read_program("```json\n{}\n```", ADD) is None
    assert read_program("```python\n```", ADD) is None


def test_what_defines_something_else_is_a_program_too():
    assert read_program("```\nsum(1, 2)\n```\n```python\ndef plus(a, b):\n    return a + b\n```", ADD).startswith(
        "def plus"
    )
    assert read_program("```python\nlambda a, b: a + b\n```", ADD) == "lambda a, b: a + b\n"
    assert read_program("```python\nadd = lambda a, b: a + b\n```", ADD) == "add = lambda a, b: a + b\n"


def test_a_fence_in_a_docstring_belongs_to_the_code():
    code = 'def add(a, b):\n    """Adds.\n\n    ```python\n    add(1, 2)\n    ```\n    """\n    return a + b\n'
    assert read_program(f"```python\n{code}```\nbye", ADD) == code


def test_what_grades_is_said_by_kind_of_problem():
    maths = Problem("m", "1 + 1?", "2", "d")
    for problems, said in (
        ([ADD, TOTAL], "program, run with tests"),
        ([maths], "boxed"),
        ([maths, ADD], "boxed; program, run with tests"),
    ):
        assert graded_by(VerifyConfig(), "qwen_boxed", problems) == said
    assert graded_by(VerifyConfig(function="a.py:f"), "chat_code", [ADD]) == "a.py:f"


HOSTILE = {
    "backticks": "`" * 10**6,
    "fences": "```\n" * 250_000,
    "python fences": "```python\n" * 100_000,
    "indented fences": "```python\n" + "    ```\n" * 125_000,
    "indentation": " " * 10**6 + "x",
    "stairs": "".join(" " * n + "x\n" for n in range(1400)),
    "newlines": "\n" * 10**6,
    "quotes": '"""' * 333_333,
    "quote": "'" * 10**6,
    "backslashes": "x = '" + "\\" * 10**6,
    "brackets": "x = " + "(" * 10**6,
    "definitions": "def add(a, b):\n" * 66_000,
    "classes": "```python\n" + "class add\n" * 100_000,
    "assignments": "x = 1\nno\n" * 111_000,
    "annotations": "A:\n" * 333_000,
    "subscripts": "x[\n" * 250_000,
    "commas": "x = 1\n" + "a," * 500_000,
    "nulls": "def add(a, b):\n" + "\0" * 10**6,
    "minus": "```python\ndef add(a, b): return " + "-" * 10**6,
    "spaces after a word": "add" + " " * 10**6,
    "thinking": "<think>" * 140_000 + "</think>",
    "imports": "import a," * 110_000,
    "for": "for " * 250_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("problem", [ADD, TOTAL], ids=["instruction", "completion"])
def test_a_megabyte_of_hostile_text_takes_seconds_at_most(text, problem):
    begin = time.process_time()
    read_program(text, problem)
    read_program("    x = 1\n" + text, problem)
    read_program(f"```python\n{CODE}\n{text}", problem)
    assert time.process_time() - begin < 20  # of which at most two are needed; what is quadratic takes hours


@pytest.mark.parametrize(
    "text", ["-" * 19_000 + "1", "a" + ".a" * 9_000, "(" * 9_000, "\0", "x = " + "[" * 90 + "]" * 90]
)
def test_what_the_parser_cannot_take_is_no_error(text):
    assert read_program(f"```python\n{CODE}{text}", ADD).startswith(CODE)


@pytest.mark.skipif(not Path(os.environ.get(DATA_DIR, "/none"), "code").is_dir(), reason="needs the data folder")
@pytest.mark.parametrize("name, split, count", [
    ("humaneval", "test", 164), ("mbpp", "test", 500), ("mbpp", "train", 374), ("mbpp", "validation", 90),
    ("mbpp", "prompt", 10), ("mbpp-sanitized", "test", 257), ("mbpp-sanitized", "train", 120),
    ("mbpp-sanitized", "validation", 43), ("mbpp-sanitized", "prompt", 7),
])  # fmt: skip
def test_reference_solutions_are_read_back(name, split, count):
    problems = load_problems(SourceConfig(source=name, split=split), 0, "problems")
    assert len(problems) == count
    for problem in problems:
        prompt = problem.metadata.get("prompt", "")
        chat = f"Here is a solution:\n\n```python\n{problem.answer}```\n\nIt works, doesn't it?\n"
        raw = problem.answer.removeprefix(prompt)
        for text in (chat, raw, f"{raw}\n\nprint('done')\n" if prompt else f"{raw}\nThis is it.\n"):
            program = read_program(text, problem)
            assert _defines(program, problem.metadata["entry_point"]), problem.id
            assert _same(program, problem.answer, problem.metadata["entry_point"]), problem.id


def _defines(program, name):
    return name in [getattr(node, "name", "") for node in ast.parse(program).body]


def _same(program, answer, name):
    """Whether both define the same function last, whatever stands before."""
    last = [
        [ast.dump(n) for n in ast.parse(text).body if getattr(n, "name", "") == name][-1] for text in (program, answer)
    ]
    return last[0] == last[1]
