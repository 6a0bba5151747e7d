"""Which answers vote together, by the verifier itself."""

import pytest

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.measure.votes import majority_at
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.sampler import graded
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Grade, Outcome, Verifier


def voted(problem, texts, k):
    rollouts = [Rollout(problem.id, n, n, [1], [1], text, "stop") for n, text in enumerate(texts)]
    with Verifier(VerifyConfig(workers=1), "chat_template") as verifier:
        rows = graded(rollouts, {problem.id: problem}, verifier)
        ((rate,),) = majority_at([k], [problem], rows, verifier.grade_answers)
    return rate


@pytest.mark.parametrize(
    ("answers", "rate"),
    [
        (["1/2", "0.5", "3", "4", "5"], 1),  # two right ones, written differently, against one each
        (["1/2", "0.5", "3", "3.0", "$3$"], 0),  # three wrong ones, all the same
        (["1/2", "0.5", "x+1", "1+x", "3"], 0.5),  # the last two of four the same to a worker alone
        (["1/2", "", "", ""], 1),  # no answer is no vote
    ],
)
def test_answers_vote_together_however_they_are_written(answers, rate):
    texts = [f"So the answer is \\boxed{{{answer}}}." if answer else "Hm." for answer in answers]
    assert voted(Problem("a", "?", "0.50", "d"), texts, len(texts)) == rate


def test_another_problems_votes_do_not_count():
    problems = [Problem("a", "?", "1", "d"), Problem("b", "?", "2", "d")]
    rows = [
        Rollout(p, n, n, [1], [1], "", "stop", outcome="correct" if right else "wrong", extracted=text)
        for p, answers in (("b", "133"), ("a", "112"))
        for n, (text, right) in enumerate((text, text == p.translate({97: "1", 98: "2"})) for text in answers)
    ]
    with Verifier(VerifyConfig(workers=1), "chat_template") as verifier:
        one, three = majority_at([1, 3], problems, rows, verifier.grade_answers)
    assert one.tolist() == [pytest.approx(2 / 3), 0] and three.tolist() == [1, 0]


def test_no_answer_is_waited_for_twice():
    asked = []

    def grade(items):
        asked.append([answer for _, answer in items])
        return [Grade(Outcome.TIMEOUT, answer) for _, answer in items]

    answers = ["a", "b", "c", "d"]
    rows = [
        Rollout("p", n, n, [1], [1], "", "stop", outcome="wrong", extracted=answer)
        for n, answer in enumerate([*answers, "d"])
    ]
    (rate,) = majority_at([5], [Problem("p", "?", "1", "d")], rows, grade)
    assert asked == [["b", "c", "d"], [], [], []] and rate.tolist() == [0]
