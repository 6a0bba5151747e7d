"""Problems whose answer is a program: what a row must hold, what of it is shown, and what its tests are.

Such a problem's text is either an instruction, to which the tests are added that a solution must pass, or code that
ends within the function to be written, which a solution continues. Its metadata hold

- `entry_point`: name of the function that is tested,
- `tests`: Python text of asserts, or of definitions and asserts, that run after the program,
- `hidden_tests`: more of them, which are never shown; only where there are some,
- `prompt`: the text, where a solution continues it,
- `preamble`: what of that text stands before the function; tests may use it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reasonmaxxer.errors import UserError

CODE_COLUMNS = {
    "answer": ("canonical_solution", "reference_solution", "solution", "code", "answer"),
    "id": ("id", "task_id", "problem_id", "unique_id"),
    "domain": ("domain",),
}
"""Names under which parts of such a problem are looked for, where they are others than those of an answer's."""
UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What the parser says of text that it cannot read."""
NEEDED = ("tests", "entry_point")
SHOWN = "Your code should pass these tests:"
"""Stands before the tests that are shown, as in arXiv 2108.07732."""


class CodeParts(NamedTuple):
    """What makes up a problem: its text, a reference solution (empty if there is none), and metadata."""

    text: str
    reference: str
    metadata: dict[str, str]


def is_code(rows: Sequence[Mapping[str, Any]], place: str) -> bool:
    """Whether rows ask for programs.

    Raises:
        UserError: they have one of the two columns that this needs, and not the other.
    """
    there = [column for column in NEEDED if any(column in row for row in rows)]
    if len(there) == 1:
        (missing,) = set(NEEDED) - set(there)
        raise UserError(
            f"{place} has a column '{there[0]}' but none called '{missing}': programs need both, the tests and the "
            "name of the function that they call. Add it, or rename the other."
        )
    return bool(there)


def code_parts(row: Mapping[str, Any], text: str, reference: Any, place: str) -> CodeParts:
    """The parts of one problem.

    Args:
        row: with `tests` and `entry_point`, and perhaps `hidden_tests`; tests are text or a list of texts.
        text: the problem as it is written.
        reference: a solution, whole or as it continues the text; none if there is none.
        place: of the row, in errors.

    Raises:
        UserError: tests or the name of the function are missing, or are not Python.
    """
    name = row.get("entry_point")
    if not isinstance(name, str) or not name.isidentifier():
        raise UserError(f"{place} must name the function that is tested in 'entry_point', not {name!r:.80}.")
    tests = {column: _tests(row, column, name, place) for column in ("tests", "hidden_tests")}
    if not tests["tests"]:
        raise UserError(f"{place} has no tests in 'tests'; write asserts that call {name}, or drop the row.")
    solution = joined_code([reference])
    metadata = {"entry_point": name, **{column: found for column, found in tests.items() if found}}
    text = text.replace("\r\n", "\n")
    before = before_function(text, name)
    if before is None:
        return CodeParts(_with_tests(text.strip(), tests["tests"]), solution, metadata)
    text = text if text.endswith("\n") else f"{text.rstrip()}\n"
    whole = solution if not solution or defines(solution, name) else text + solution
    return CodeParts(text, whole, metadata | {"prompt": text} | ({"preamble": before} if before.strip() else {}))


def before_function(text: str, name: str | None = None) -> str | None:
    """What of a text stands before the function that it ends in; none if it does not end so.

    Args:
        text: code that ends within a function, perhaps after its docstring, or anything else.
        name: of that function; none for any.
    """
    for continued in (text, f"{text}\n    pass\n"):
        try:
            last = ast.parse(continued).body[-1:]
        except UNPARSED:
            continue
        for function in last:
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and name in (None, function.name):
                first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
                return "".join(text.splitlines(keepends=True)[: first - 1])
    return None


def joined_code(values: Sequence[Any]) -> str:
    """Texts and lists of texts as one, each on lines of its own; empty if there are none."""
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return "".join(
        f"{text.rstrip()}\n".replace("\r\n", "\n") for text in texts if isinstance(text, str) and text.strip()
    )


def defines(code: str, name: str) -> bool:
    """Whether Python text that can be trusted defines a name at its top level."""
    return name in _defined(code)


def entry_point_of(tests: Any, reference: str) -> str:
    """The function of a reference solution that the first assert calls; empty if there is none."""
    defined = _defined(joined_code([reference]))
    for assertion in _asserts(ast.parse(joined_code([tests]))):
        for node in ast.walk(assertion):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    return ""


def _defined(code: str) -> set[str]:
    try:
        body = ast.parse(code).body
    except UNPARSED:
        return set()
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}


def _tests(row: Mapping[str, Any], column: str, name: str, place: str) -> str:
    """Tests as one text; one that defines `check` and does not call it, as HumanEval's, calls it."""
    value = row.get(column)
    if not isinstance(value, (str, list, type(None))):
        raise UserError(f"{place} must hold Python text, or a list of it, in '{column}', not {value!r:.80}.")
    tests = joined_code([value])
    try:
        tree = ast.parse(tests)
    except UNPARSED as error:
        raise UserError(f"{place} has tests in '{column}' that are not Python: {error}. Correct them.") from error
    checked = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    called = any(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "check"
        for node in tree.body
    )
    return f"{tests}\ncheck({name})\n" if checked and not called else tests


def _asserts(tree: ast.Module) -> list[ast.Assert]:
    return [node for node in tree.body if isinstance(node, ast.Assert)]


def _with_tests(text: str, tests: str) -> str:
    """An instruction with the asserts among its tests, as far as there are any."""
    shown = [ast.get_source_segment(tests, node) or "" for node in _asserts(ast.parse(tests))]
    return f"{text}\n\n{SHOWN}\n\n{chr(10).join(shown)}" if shown else text
