"""A verifier of the user's own: in a process that can be killed, and refused early when it cannot work."""

import os
import sys

import pytest

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Outcome, Verifier

SOURCE = """
import os
import time
from dataclasses import dataclass


@dataclass
class Said:
    text: str


def grade(completion, answer, metadata):
    said = Said(completion.strip())
    if said.text == "where":
        return metadata["parent"] != os.getpid()
    if said.text == "hang":
        time.sleep(60)
    if said.text == "die":
        os._exit(3)
    if said.text == "write":
        open("/tmp/never-written", "w")
    if said.text == "half":
        return 0.5
    if not said.text:
        return None
    return said.text == answer + metadata["suffix"]


almost = 3
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "grading.py"
    path.write_text(SOURCE)
    return path


def test_outcomes_are_the_functions(file):
    problem = Problem("p", "?", "4", "d", metadata={"suffix": "!", "parent": os.getpid()})
    config = VerifyConfig(function=f"{file}:grade", timeout=1.5, workers=1)
    with Verifier(config, "chat_template") as verifier:
        said = ("4!", "4", " ", "hang", "die", "write", "half", "where", "4!")
        grades = verifier.grade([(problem, text) for text in said])
    here = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    assert str(file) not in here  # it was imported elsewhere
    names = [grade.outcome for grade in grades]
    O = Outcome  # noqa: E741
    assert names == [
        O.CORRECT, O.WRONG, O.UNPARSED, O.TIMEOUT, O.ERROR, O.ERROR, O.ERROR, O.CORRECT, O.CORRECT
    ]  # fmt: skip
    assert "PermissionError" in grades[5].detail and "returned 0.5" in grades[6].detail
    assert {grade.extracted for grade in grades} == {None}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("{folder}/grading.py:grad", "has no function grad. Did you mean 'grade'"),
        ("{folder}/grading.py:almost", "has no function almost"),
        ("{folder}/none.py:grade", "there is no file"),
        ("{folder}/broken.py:grade", "cannot be imported: ModuleNotFoundError"),
        ("{folder}/exits.py:grade", "cannot be imported: SystemExit"),
        ("{folder}/dies.py:grade", "cannot be loaded: its process ended with status 3"),
        ("grade", "write FILE.py:FUNCTION"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_graded(file, named, said):
    for name, text in (
        ("broken", "import no_such_module_anywhere"),
        ("exits", "raise SystemExit"),
        ("dies", "import os; os._exit(3)"),  # this process would, if it imported the file
    ):
        (file.parent / f"{name}.py").write_text(text)
    config = VerifyConfig(function=named.format(folder=file.parent))
    with pytest.raises(UserError, match=said):
        Verifier(config, "chat_template")
