"""Outcomes of whole completions, with hostile ones among them, through real worker processes."""

import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Grade, Outcome, Verifier
from reasonmaxxer.verify.process import GradingProcess

SLOW = r"9^{9^{9^{9}}}"  # math-verify computes it, and never ends
CORRECT, WRONG, UNPARSED = Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED


def processes(verifier):
    return [worker for worker in verifier._workers if isinstance(worker, GradingProcess)]


def maths(gold):
    return Problem(id="p", text="?", answer=gold, domain="test")


def boxed(gold, answer):
    return maths(gold), rf"so it is \boxed{{{answer}}}."


def verifier(style="qwen_boxed", **options):
    return Verifier(VerifyConfig(**options), style)


@pytest.fixture(scope="module")
def graders():
    styles = ("qwen_boxed", "llama_abel", "chat_template")
    opened = {style: verifier(style, timeout=20, workers=1) for style in styles}
    yield opened
    for one in opened.values():
        one.close()


FAULTS = [
    # A brace-less or spaced box; several boxes; no box, with dollars all over.
    ("5", r"Thus $\boxed 5$.", "qwen_boxed", CORRECT),
    ("5", r"Thus $\boxed {5}$.", "qwen_boxed", CORRECT),
    ("5", r"\boxed{4}, no: \boxed{5}", "qwen_boxed", CORRECT),
    ("5", r"\boxed{5}, no: \boxed{4}", "qwen_boxed", WRONG),
    ("113", "Pay $5 and $7, that is $113$", "qwen_boxed", UNPARSED),
    ("113", "Pay $5 and $7, that is $113$", "llama_abel", CORRECT),
    ("5", r"It is \boxed{5", "qwen_boxed", UNPARSED),
    # A bare \dfrac, and \frac without braces.
    (r"\dfrac{9}{7}", r"\boxed{\frac{9}{7}}", "qwen_boxed", CORRECT),
    (r"\frac{9}{7}", r"\boxed{\dfrac{9}{7}}", "qwen_boxed", CORRECT),
    (r"\frac{1}{2}", r"\boxed{\frac12}", "qwen_boxed", CORRECT),
    # Tuples are no numbers.
    ("(1,2)", r"\boxed{12}", "qwen_boxed", WRONG),
    ("12", r"\boxed{(1,2)}", "qwen_boxed", WRONG),
    # A set is the same however it is written.
    ("x<3", r"\boxed{(-\infty,3)}", "qwen_boxed", CORRECT),
    (r"(-\infty,3)", r"\boxed{x<3}", "qwen_boxed", CORRECT),
    (r"(-\infty,3)", r"\boxed{x \le 3}", "qwen_boxed", WRONG),
    # Neither a hundredth nor a hundredfold.
    ("50", r"\boxed{0.5}", "qwen_boxed", WRONG),
    ("0.5", r"\boxed{50}", "qwen_boxed", WRONG),
    ("0.5", r"\boxed{50\%}", "qwen_boxed", WRONG),
    ("50", r"\boxed{50\%}", "qwen_boxed", CORRECT),
    ("50", "That makes 50%.", "llama_abel", CORRECT),
    # Gold answers with words and dollars around the expression.
    (r"$\frac{1}{2}$ m", r"\boxed{0.5}", "qwen_boxed", CORRECT),
    # Code is not run: evaluated, the first of these would be 5.
    ("5", r"\boxed{len('abcde')}", "qwen_boxed", WRONG),
    ("5", r"\boxed{__import__('os')._exit(5)}", "qwen_boxed", None),
    # Rambling past the answer.
    ("7", "The answer is 7. If 9 more come, there are 16.", "chat_template", CORRECT),
    ("7", "The answer is 7. If 9 more come, there are 16.", "llama_abel", WRONG),
    ("70000", "He made 200,000 - 130,000 = $70,000", "chat_template", CORRECT),
    ("7", "", "chat_template", UNPARSED),
    ("7", "seven", "llama_abel", UNPARSED),
]


@pytest.mark.parametrize(("gold", "completion", "style", "outcome"), FAULTS)
def test_faults_known_elsewhere(graders, gold, completion, style, outcome):
    (grade,) = graders[style].grade([(maths(gold), completion)])
    if outcome is None:
        assert grade.outcome in (WRONG, UNPARSED)
    else:
        assert grade.outcome is outcome
    assert grade.reward == (outcome is CORRECT)


@given(st.integers())
def test_integers_are_graded_exactly(n):
    with verifier("llama_abel") as plain:
        text = f"Let me think. The answer is {n}."
        grades = plain.grade([(maths(str(n)), text), (maths(str(n + 1)), text)])
        assert {worker.pid for worker in processes(plain)} == {None}
    assert grades == [Grade(CORRECT, str(n)), Grade(WRONG, str(n))]


HOSTILE = [
    SLOW,
    "9**9**9**9",
    "1e400000000",
    "factorial(10**9)",
    "(" * 10_000 + "1" + ")" * 10_000,
    "(" * 400 + "1" + ")" * 400,
    "2^{2^{2^{2^{50}}}}",
    "5\0",
    "\ud800",
    "😀",
    "\u202e5",
    "\n",
    '"}\n{"outcome": "correct"}',
    "{" * 10**6 + "5" + "}" * 10**6,
    "1+" * 50_000 + "1",
    r"\frac{1}{" * 110 + "1" + "}" * 110,
    r"10^{10^{10}}-\sqrt{2}",
    r"\binom{10^{9}}{10^{8}}",
    r"\sum_{n=1}^{10^{9}} n^{n}",
    "x" * 999,
    "1," * 499 + "1",
    "__import__('pathlib').Path('written').touch()",
]


def test_hostile_answers_harm_no_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")
    items = [item for text in HOSTILE for item in (boxed(r"\sqrt{5}", text), good)]
    with verifier(timeout=0.7, workers=2) as strict:
        grades = strict.grade(items)
    assert [grade.outcome for grade in grades[1::2]] == [CORRECT] * len(HOSTILE)
    assert all(grade.outcome in set(Outcome) - {CORRECT} for grade in grades[::2])
    assert grades[0].outcome is Outcome.TIMEOUT
    assert grades[0].detail == "grading took longer than 0.7 s"
    assert grades[0].extracted == SLOW
    assert grades[8] == Grade(UNPARSED, None, "the answer is 20001 characters long")
    assert not list(tmp_path.iterdir())


def test_order_and_number_of_workers_do_not_matter(graders):
    items = [boxed(r"\sqrt{18}", answer) for answer in (r"3\sqrt{2}", "4", "(((", "x=1", "3^{1/2}")]
    forth = graders["qwen_boxed"].grade(items)
    with verifier(workers=2) as two:
        assert two.grade(items[::-1]) == forth[::-1]
    assert [g.outcome for g in forth] == [CORRECT, WRONG, UNPARSED, WRONG, WRONG]


def test_a_worker_killed_from_outside_is_an_error_of_one_item():
    good = boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")
    with verifier(timeout=30, workers=2) as one:
        one.grade([good] * 4)  # starts both
        thread, grades = _in_background(one, [good, boxed("5", SLOW), *[good] * 6])
        time.sleep(1)  # by now only the slow item is being graded
        busy = [worker.pid for worker in processes(one) if worker.pid and _runs(worker.pid)]
        assert len(busy) == 1
        os.kill(busy[0], 9)
        thread.join(20)
        assert grades[1].outcome is Outcome.ERROR
        assert "died: status -9" in grades[1].detail
        assert [g.outcome for i, g in enumerate(grades) if i != 1] == [CORRECT] * 7


def _in_background(one, items):
    grades = []
    thread = threading.Thread(target=lambda: grades.extend(one.grade(items)))
    thread.start()
    return thread, grades


def _runs(pid):
    """Whether a process is using the processor."""
    seconds = [_ticks(pid) for _ in range(2) if not time.sleep(0.15)]
    return seconds[1] > seconds[0]


def _ticks(pid):
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return int(file.read().rpartition(")")[2].split()[11])


def test_an_idle_worker_killed_from_outside_harms_nothing():
    good = boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")
    with verifier(workers=1) as one:
        one.grade([good])
        os.kill(one._workers[0].pid, 9)
        assert one.grade([good])[0].outcome is CORRECT
        pid = one._workers[0].pid
    with pytest.raises(ProcessLookupError):  # it has ended with its verifier
        os.kill(pid, 0)


def test_a_worker_that_cannot_start_is_no_grade(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with verifier() as one, pytest.raises(RuntimeError, match=r"did not start: .*Error"):
        one.grade([boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")])


def test_an_unreadable_gold_answer_is_an_error(graders):
    (grade,) = graders["qwen_boxed"].grade([boxed("(((", "x")])
    assert grade.outcome is Outcome.ERROR
    assert "the gold answer '(((' does not parse" in grade.detail
    assert grade.extracted == "x"


def test_no_main_guard_is_needed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from reasonmaxxer.config import VerifyConfig\n"
        "from reasonmaxxer.problems.problem import Problem\n"
        "from reasonmaxxer.verify import Verifier\n"
        "with Verifier(VerifyConfig(), 'qwen_boxed') as verifier:\n"
        "    item = Problem('p', '?', '2x', 'd'), r'\\boxed{x+x}'\n"
        "    print(verifier.grade([item])[0].outcome.value)\n"
    )
    # A module of the working folder that shadows a library's must not reach the worker.
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "sympy.py").write_text("raise SystemExit('shadowed')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path / "sub", env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("correct\n", "")


def gym(task, **options):
    import reasoning_gym

    entry = reasoning_gym.create_dataset(task, size=1, seed=0, **options)[0]
    metadata = {"task": task, "entry": entry}
    return Problem("g", entry["question"], entry["answer"], task, "reasoning_gym", metadata)


def test_procedural_tasks(graders):
    sums, sort, count = gym("chain_sum"), gym("string_insertion"), gym("countdown")
    evil = "__import__('pathlib').Path('written').touch()"
    items = [
        (sums, f"The answer is {sums.answer}."),
        (sums, f"<answer>{sums.answer}</answer> and then 12345"),
        (sums, f"The answer is {int(sums.answer) + 1}."),
        (sums, "\n"),
        (sort, f"<answer>{sort.answer}</answer>"),
        (sort, f"<answer>{sort.answer[::-1]}!</answer>"),
        (sort, f"<answer>[{evil!r}, {evil}]</answer>"),  # this scorer evaluates lists
        (count, count.answer),
        (count, "1 + 1"),
        (boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")),
    ]
    grades = graders["qwen_boxed"].grade(items)
    right = [0, 1, 4, 7, 9]
    assert [i for i, grade in enumerate(grades) if grade.outcome is CORRECT] == right
    assert grades[3] == Grade(UNPARSED, None, "no answer was found in the completion")
    assert {grades[i].outcome for i in (2, 5, 6, 8)} == {WRONG}


def test_unknown_task_is_an_error_with_its_reason(graders):
    problem = Problem("g", "?", "1", "d", "reasoning_gym", {"task": "chess", "entry": {}})
    (grade,) = graders["qwen_boxed"].grade([(problem, "1")])
    assert grade.outcome is Outcome.ERROR
    assert "chess" in grade.detail


def test_problem_without_its_entry_is_refused():
    problem = Problem("g1", "?", "1", "d", "reasoning_gym", {"task": "chain_sum"})
    with verifier() as one, pytest.raises(UserError, match=r"'g1'.*'entry'"):
        one.grade([(problem, "1")])


def test_nothing_to_grade():
    with verifier() as one:
        assert one.grade([]) == []


def test_interrupting_does_not_wait_for_slow_items(monkeypatch):
    with verifier(timeout=60, workers=1) as one:
        one.grade([boxed(r"\sqrt{2}", r"\frac{\sqrt8}{2}")])

        def interrupted(self, request):
            if request["extracted"] == "s+t":
                raise KeyboardInterrupt
            return ask(self, request)

        ask = GradingProcess.ask
        monkeypatch.setattr(GradingProcess, "ask", interrupted)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            one.grade([boxed("0", "s+t"), boxed("5", SLOW), boxed("5", SLOW)])
        assert time.monotonic() - start < 20


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_correct_earns_a_reward(outcome):
    assert Grade(outcome, "7").reward == (1.0 if outcome == "correct" else 0.0)


def test_importing_is_quick():
    slow = "{'sympy', 'torch', 'reasoning_gym'}"
    code = f"import sys, reasonmaxxer.verify; print({slow} & {{*sys.modules}})"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.check_output([sys.executable, "-c", code], text=True, env={**os.environ, "PYTHONPATH": path})
    assert done == "set()\n"
