"""The sets that the verifier's errors are counted on, and the counts of a small one."""

import json

from grading import measure
from grading_cases import ARMS, named, problems, shortened, spoilt, typeset

from reasonmaxxer.problems.problem import Problem


def pool(*answers):
    rows = [{"subject": "algebra", "solution": rf"\boxed{{{answer}}}"} for answer in answers]
    return [Problem(str(i), "?", a, "d", metadata=r) for i, (a, r) in enumerate(zip(answers, rows, strict=True))]


def test_answers_written_another_way():
    assert typeset(r"(\frac{1}{2}, 3)") == r"$\left(\dfrac{1}{2}, 3\right)$."
    assert shortened(r"-\frac{11}{2}") == "-11/2"
    assert shortened(r"x+\frac{1}{2}, 3") == r"x+\frac12,3"
    assert shortened("1,234") == "1234"
    assert shortened(r"\text{east}") == "east"
    assert named(r"\$5") == "x = 5"
    assert named("x = 5") == "x = 5"


def test_answers_spoilt():
    cases = [text for _, text in spoilt(pool("12", r"x^{9}", "-3", r"\text{no}"))]
    assert cases == [r"\boxed{13}", r"\boxed{-12}", r"\boxed{x^{0}}", r"\boxed{-4}", r"\boxed{3}"]


def test_shuffled_answers_are_another_problems_of_the_kind():
    some = pool(*map(str, range(20)))
    pairs = list(ARMS["shuffled"][0](some))
    assert len(pairs) > 10
    assert all(text != rf"\boxed{{{problem.answer}}}" for problem, text in pairs)


def test_errors_are_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"id": str(i), "problem": "?", "answer": a} for i, a in enumerate(("1/2", "3"))]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    half, three = problems(path, "math500")
    right = measure("made", "rewritten", [(half, r"\boxed{0.5}"), (three, r"\boxed{4}")], "boxed", 1)
    assert right.errors == [("1", "3", "4 (wrong)")]
    assert (right.outcomes, right.compared) == ({"correct": 1, "wrong": 1}, 2)
    wrong = measure("made", "shuffled", [(half, r"\boxed{0.5}"), (three, r"\boxed{4}")], "boxed", 1)
    assert (wrong.errors, wrong.equal, wrong.disagreements) == ([], 1, [])
