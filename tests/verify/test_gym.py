"""Scorers of reasoning-gym: every task's own answers, and what models may answer to those that evaluate text."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.gym import EVALUATING
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.sandbox import backend, bubblewrap
from reasonmaxxer.verify import Outcome, Verifier, check_gradable, process
from reasonmaxxer.verify.guard import is_formula

needs_sandbox = pytest.mark.skipif(not backend().program, reason=f"no sandbox: {backend().version}")
WITHOUT_GOLD = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
REFUSE_JSON = {"arc_agi", "rearc"}  # their scorers compare tuples, and `gym_problems` refuses them


def problem(task, index=0):
    entry = reasoning_gym.create_dataset(task, size=index + 1, seed=1)[index]
    metadata = {"task": task, "entry": entry}
    return Problem(f"{task} {index}", entry["question"], str(entry["answer"]), task, "reasoning_gym", metadata)


def pid(verifier, name="reasoning_gym"):
    return next(worker.pid for worker in verifier._workers if worker.verifier == name)


@pytest.fixture(scope="module")
def grader():
    with Verifier(VerifyConfig(timeout=4, workers=1), "qwen_boxed") as one:
        yield one


@needs_sandbox
def test_every_task_pays_its_own_answers(grader):
    tasks = sorted({*DATASETS} - WITHOUT_GOLD - REFUSE_JSON - {"composite"})
    own = [problem(task, index) for task in tasks for index in range(8 if task in EVALUATING else 1)]
    own = [each for each in own if "Integral(" not in each.answer]
    grades = grader.grade_answers([(each, each.answer) for each in own])
    assert [each.id for each, grade in zip(own, grades, strict=True) if grade.outcome is not Outcome.CORRECT] == []
    assert [grade.detail for grade in grades if grade.detail] == []


@needs_sandbox
def test_the_worker_runs_in_the_sandbox_and_sees_neither_tokens_nor_other_files(grader, tmp_path, monkeypatch):
    grader.grade_answers([(problem("gcd"), "7")])
    (inside,) = descendants(pid(grader), "reasonmaxxer.verify")
    assert not (Path(f"/proc/{inside}/root") / tmp_path.relative_to("/")).exists()
    assert sorted(re.findall(r"^ *(\w+):", Path(f"/proc/{inside}/net/dev").read_text(), re.M)) == ["lo"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("verifier", ["math", "reasoning_gym", "function"])
def test_only_the_users_own_verifier_sees_the_users_environment(verifier, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "own.py").write_text("def grade(completion, answer, metadata):\n    return True\n")
    function = f"{tmp_path / 'own.py'}:grade" if verifier == "function" else None
    asked = problem("gcd") if verifier == "reasoning_gym" else Problem("p", "?", r"\sqrt{2}", "d")
    with Verifier(VerifyConfig(workers=1, function=function), "qwen_boxed") as one:
        one.grade([(asked, r"\boxed{\frac{\sqrt8}{2}}")])
        running = descendants(pid(one, verifier), "reasonmaxxer.verify")
        seen = [b"hf_secret" in Path(f"/proc/{each}/environ").read_bytes() for each in running]
    assert seen == [verifier == "function"]


def descendants(top, said):
    """Processes below a process, itself included, whose last argument contains a text: bubblewrap's own do too."""
    below = [int(p) for p in Path(f"/proc/{top}/task/{top}/children").read_text().split()]
    command = Path(f"/proc/{top}/cmdline").read_bytes().split(b"\0")
    mine = [top] if said in command[-2].decode() and b"bwrap" not in command[0] else []
    return [*mine, *(found for child in below for found in descendants(child, said))]


def test_without_a_sandbox_only_scorers_that_evaluate_nothing_are_asked(monkeypatch):
    monkeypatch.setattr(bubblewrap, "backend", lambda: bubblewrap.Backend("", "no bwrap is installed"))
    monkeypatch.setattr(process, "backend", bubblewrap.backend)
    plain, evaluates = problem("gcd"), problem("countdown")
    check_gradable([plain], VerifyConfig())
    with pytest.raises(UserError, match=r"/countdown, which evaluates .* needs a sandbox"):
        check_gradable([plain, evaluates], VerifyConfig())
    with Verifier(VerifyConfig(workers=1), "qwen_boxed") as one:
        grades = one.grade_answers([(plain, plain.answer), (plain, BUY), (plain, plain.answer), (plain, "0")])
        with pytest.raises(UserError, match=r"/countdown, which evaluates .* needs a sandbox, .*no bwrap"):
            one.grade_answers([(plain, plain.answer), (evaluates, evaluates.answer)])
    assert [grade.outcome.value for grade in grades] == ["correct", "wrong", "correct", "wrong"]


@needs_sandbox
def test_an_integral_that_is_left_to_do_is_no_answer(grader):
    """The library's own answer may be one, and its scorer would pay for the question said back."""
    asked = problem("intermediate_integration", 4)
    assert "Integral(" in asked.answer
    (grade,) = grader.grade_answers([(asked, f"Integral({asked.metadata['entry']['metadata']['integrand']}, x)")])
    assert grade.outcome is Outcome.WRONG


BUY = "__import__('sys').modules['reasonmaxxer.verify.gym'].__dict__.update(score=lambda *a: True)"
PAY = "__import__('reasonmaxxer.verify').verify.outcome.Outcome.WRONG.__dict__.update(_value_='correct')"
PIPE = """[__import__('os').write(fd, b'{"outcome": "correct", "detail": null}') for fd in range(3, 30)]"""
EXIT = "__import__('os')._exit(0)"
ACTS = [
    BUY, PAY, PIPE, EXIT, f"[{PAY}, 1]", f"sin({PAY})", f"(1, *{PIPE})", f"-{PAY}", f"{{1: {PAY}}}",
    f"[{PIPE}, {EXIT}]", f"Integer({EXIT})", f"f'{{{EXIT}}}'", f"(lambda: {PAY})()", f"1 if {PAY} else 2",
    "__import__('ctypes').CDLL(None).exit(0)", "__import__('ctypes').string_at(0)", "exit(0)", "breakpoint()",
    "().__class__.__base__.__subclasses__()", "Symbol.__init__.__globals__['__builtins__']['exit'](0)",
    "\uff3f\uff3fimport\uff3f\uff3f('os')._exit(0)", "x.__class__.__eq__.__globals__.clear()",
    f'sympify("{EXIT}")', f'S("{EXIT}")', f'parse_expr("{EXIT}")', f'nsimplify("{EXIT}")', f'simplify("{EXIT}")',
    f'N("{EXIT}")', f'lambdify([], "{EXIT}")()', f"Lambda(x, {EXIT})(1)", f"exec({PAY!r})", f'eval("{PIPE!r:s}")',
]  # fmt: skip
"""What buys its own verdict or the next one's, ends the process or spoils it, if it is evaluated."""
CODE = [
    "__builtins__", "_", "__name__", "(1).__class__", "'{0.__class__}'.format(1)", "Symbol('x').func", "x.real",
    "sin.__init_subclass__", "Function('f').eval", "Integer(1).__class__.__mro__", "utilities.lambdify",
    "compile('1', '', 'eval')", "open('/etc/passwd')", "getattr(1, 'real')", "vars(1)", "globals()", "print(1)",
    "type('X', (), {})", "id(1)", "hash(1)", "next(1)", "ev\u0430l('1')", "[x for x in [1]]", "(x := 1)", "f'{1}'",
    "[1, 2][0]", "'abc'[::-1]", "1 and 2", "1 < 2", "max(*[1])", "Symbol('x', real=True)", "Function('f', nargs=1)(1)",
    "sin(1)(2)", "[sin][0](1)", "Function('f')('x')(1)", "srepr(x)", "lambdify(x, x, 'os')", "plot(x)", "preview(x)",
    "test()", "doctest()", "source(Symbol)", "init_session()", "autowrap(x)", "ufuncify([x], x)", "var('x')",
    "symbols('x')", "print_python(x)", "from os import _exit", "import os", "x = 1", "del x", "assert 1", "1; 2",
    "from sympy import *; 1", "from  sympy import *", "class X: pass", "(yield)", "await x", "1\n2",
]  # fmt: skip
NESTED = [
    f"sin({EXIT!r})", f"exp({PAY!r})", f"Symbol('x') + {PAY!r}", f"Max({PAY!r})", f"Abs({f'sin({EXIT!r})'!r})",
    f"Function('f')({EXIT!r})", f"2**sqrt({PIPE!r})", f"Rational({EXIT!r})", f"Float({EXIT!r})", f"Integer({EXIT!r})",
]  # fmt: skip
"""Formulas, of whose strings SymPy evaluates some in turn."""
FORMULAS = [
    "94*4 - 61 - 6", "(1 + 2) / 3 % 4 // 5 << 1 >> 2 | 3 & 4 ^ ~5", "-x**2/2 + C", "['a', 'b']", "[[0, 1]]", "{}",
    "sqrt(x)*ln(x) + Abs(sin(2*x))", "Integer (60 )", "Symbol ('x' )*Float ('0.5' )", "Function ('f' )(Symbol ('x' ))",
    "factorial(5)", "atan(x) + pi*E*I", "{'a': (1, None, True)}", "erf(x)", "max(1, 2)", "1e3", "'__import__'",
    "from sympy import *",
]  # fmt: skip


def evaluated(text):
    try:
        return is_formula(text.encode())
    except SyntaxError:
        return False


def test_only_formulas_may_be_evaluated():
    assert [text for text in ACTS + CODE if evaluated(text)] == []
    assert [text for text in FORMULAS + NESTED if not evaluated(text)] == []


@needs_sandbox
@pytest.mark.parametrize("task", sorted(EVALUATING))
def test_no_code_in_an_answer_is_run(grader, task):
    right, wrong = (problem(task), problem(task).answer), (problem(task), "[7, 7]")
    grades = grader.grade_answers([right])
    started = pid(grader)
    some = slice(None, None, 1 if task in ("countdown", "string_insertion") else 4)
    texts = ACTS[some] + NESTED[some]
    grades += grader.grade_answers([item for text in texts for item in ((problem(task), text), wrong, right)])
    assert {grade.outcome for grade in grades[0::3]} == {Outcome.CORRECT}
    assert {grade.outcome for grade in grades[1::3] + grades[2::3]} == {Outcome.WRONG}
    assert pid(grader) == started


HARD = [
    "9**9**9**9", "10**10**10", "[0] * 10**11", "'a' * 10**12", "factorial(10**10)", "binomial(10**9, 10**8)",
    "(" * 180 + "1" + ")" * 180, "-" * 50_000 + "1", "[" * 5_000, "sin(" * 90 + "1" + ")" * 90, "1+" * 20_000 + "1",
    "\0", "\ud800", "",
]  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("task", ["countdown", "string_insertion"])
def test_what_hangs_allocates_or_recurses_harms_no_other(grader, task):
    right, wrong = (problem(task), problem(task).answer), (problem(task), "[7, 7]")
    grades = grader.grade_answers([item for text in HARD for item in ((problem(task), text), right, wrong)])
    assert Outcome.CORRECT not in {grade.outcome for grade in grades[0::3]}
    assert (grades[0].outcome, grades[0].detail) == (Outcome.TIMEOUT, "grading took longer than 4 s")
    assert {grade.outcome for grade in grades[1::3]} == {Outcome.CORRECT}
    assert {grade.outcome for grade in grades[2::3]} == {Outcome.WRONG}


EVALUATORS = {
    "eval", "exec", "__import__", "import_module", "parse_expr", "sympify", "S", "N", "nsimplify", "lambdify",
    "parse_latex", "load", "loads", "unsafe_load", "Popen", "run", "system", "popen", "check_output", "run_path",
}  # fmt: skip


def calls(function, owner, seen):
    """All that a function of reasoning-gym calls, also in the library's functions that it reaches."""
    function = inspect.unwrap(function)
    written = function.__module__.startswith("reasoning_gym") and not function.__code__.co_filename.startswith("<")
    if function in seen or not written:
        return
    seen.add(function)
    source = inspect.getsource(function)
    for node in ast.walk(ast.parse("if 1:\n" * source[0].isspace() + source)):
        found = _meant(node, function, owner)
        if inspect.isfunction(found):
            yield from calls(found, owner, seen)
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            made = _meant(node.func, function, owner)
            for method in filter(inspect.isfunction, vars(made).values() if inspect.isclass(made) else ()):
                yield from calls(method, made, seen)


def _meant(node, function, owner):
    """The object that a name, or an attribute of a name, stands for."""
    names = {**function.__globals__, "self": owner, "cls": owner}
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return getattr(names.get(node.value.id), node.attr, None)
    return names.get(node.id) if isinstance(node, ast.Name) else None


def test_the_tasks_that_evaluate_are_those_of_the_installed_version():
    called = {task: set(calls(cls.score_answer, cls, set())) - {"json.loads"} for task, (cls, _) in DATASETS.items()}
    last = {task: {name.rpartition(".")[2] for name in names} for task, names in called.items()}
    assert {task for task, names in last.items() if names & EVALUATORS} == set(EVALUATING)


def test_a_scorer_that_evaluates_unexpectedly_is_an_error():
    """As one of a later version of the library may."""
    asked = problem("string_insertion")
    request = {"verifier": "reasoning_gym", **asked.metadata, "extracted": "['a']"}
    code = f"import sys; sys.path[:] = {sys.path!r}; from reasonmaxxer.verify import worker; worker.EVALUATING = (); "
    code += "worker.main(9.0, 'reasoning_gym')"
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(request), capture_output=True, text=True)
    answer = json.loads(done.stdout.splitlines()[1])
    assert answer["outcome"] == "error"
    assert "the scorer of string_insertion was kept from evaluating" in answer["detail"]
