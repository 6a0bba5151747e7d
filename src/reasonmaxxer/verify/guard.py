"""What a process that grades may not do, as audit hooks: they see an event before it happens and are never removed.

Eleven scorers of reasoning-gym evaluate text as Python, most of them the answer itself. The check stands where
Python compiles a text, whoever asks for it: nothing but a formula is ever evaluated, so nothing that a model wrote
runs that could get around the check.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from typing import Any

_FAMILIES = ("shutil.", "socket.", "subprocess.", "os.exec", "os.fork", "os.kill", "os.posix_spawn")
_CALLS = {"os.system", "os.startfile", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link"}
_CALLS |= {"os.symlink", "os.truncate", "os.chmod", "os.chown"}


def forbid_side_effects() -> None:
    """Make this process unable to write files, start programs or open connections."""
    sys.dont_write_bytecode = True
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    writes = event == "open" and bool(int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if writes or event in _CALLS or event.startswith(_FAMILIES):
        raise PermissionError(f"a grader may not {event} {arguments[:1]}")


_AUTHORS = {"ast", "collections", "dataclasses", "importlib._bootstrap", "sympy.polys.monomials", "typing"}
"""Modules that compile no answer: they write the text themselves, import a file, or only parse."""
_PREPARATION = "from sympy import *"  # what SymPy's parser executes first
_PARTS = (
    ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load, ast.UnaryOp, ast.BinOp,
    ast.unaryop, ast.operator,
)  # fmt: skip
_FUNCTIONS = (
    "Integer|Float|Rational|Symbol|Function|[aA]bs|[mM]ax|[mM]in|sign|floor|ceiling|factorial2?|binomial|sqrt|cbrt|root|"
    "exp|log|ln|a?(sin|cos|tan|cot|sec|csc)h?|atan2|erf[ci]?|[ESC]i|gamma"
)


def forbid_code(formulas: bool) -> list[str]:
    """Make this process unable to evaluate text.

    Args:
        formulas: whether literals, arithmetic and calls of mathematical functions may be evaluated all the same.

    Returns:
        The texts refused so far, a list that grows.
    """
    refused: list[str] = []

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "compile" or sys._getframe(1).f_globals.get("__name__") in _AUTHORS:
            return
        source = arguments[0]
        if not (formulas and isinstance(source, bytes | str) and is_formula(source)):
            refused.append(repr(source)[:200])
            raise PermissionError(f"a grader may not evaluate {refused[-1]}")

    sys.addaudithook(check)
    return refused


def is_formula(source: bytes | str) -> bool:
    """Whether a text consists of literals, arithmetic and calls of mathematical functions.

    Raises:
        SyntaxError: it is no expression.
    """
    text = source.decode() if isinstance(source, bytes) else source
    return text == _PREPARATION or all(map(_harmless, ast.walk(ast.parse(text, mode="eval"))))


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return not node.id.startswith("_")
    if not isinstance(node, ast.Call):
        return isinstance(node, _PARTS)
    # SymPy's parser makes Function('f')(x) of a function f that it does not know.
    called = node.func.func if isinstance(node.func, ast.Call) else node.func
    known = "Function" if called is not node.func else _FUNCTIONS
    return not node.keywords and isinstance(called, ast.Name) and bool(re.fullmatch(known, called.id))
