"""A verifier that the user wrote: a function in a Python file, called in a process that can be killed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.verify.outcome import Verdict

Function = Callable[[str, str, Mapping[str, Any]], "bool | None"]
"""Called with completion, answer and metadata: right, wrong, or None if there is no answer to grade."""


@cache
def load_function(named: str) -> Function:
    """The function that `FILE:FUNCTION` names.

    Raises:
        UserError: not of that form, no such file, a file that cannot be imported, or no such function.
    """
    file, _, name = named.rpartition(":")
    path = Path(file)
    if not file.endswith(".py") or not name:
        raise UserError(f"verify.function '{named}': write FILE.py:FUNCTION.")
    if not path.is_file():
        raise UserError(f"verify.function '{named}': there is no file {path}; check the path.")
    spec = importlib.util.spec_from_file_location(f"verifier_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their own types up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"verify.function '{named}': {path} cannot be imported: {error!r}") from error
    function: Function | None = getattr(module, name, None)
    if not callable(function):
        there = [other for other, value in vars(module).items() if callable(value)]
        raise UserError(f"verify.function '{named}': {path} has no function {name}.{did_you_mean(name, there)}")
    return function


def ask_function(function: Function, completion: str, answer: str, metadata: Mapping[str, Any]) -> Verdict:
    """What the function says of a completion.

    Raises:
        TypeError: it says something else than True, False or None.
    """
    same = function(completion, answer, metadata)
    if same is not None and not isinstance(same, bool):
        raise TypeError(f"{function.__name__} returned {same!r:.100}, not True, False or None")
    return same, "the function found none" if same is None else None
