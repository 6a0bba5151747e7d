"""Majority vote: which sampled answers are the same, and how often the most frequent one is right."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.measure.metrics import majority_at_k
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Grade, Outcome

GradeAnswers = Callable[[Sequence[tuple[Problem, str]]], list[Grade]]
"""Grades answers of problems that were read before, in order."""


def voting(ks: Sequence[int], problems: Sequence[Problem], config: VerifyConfig) -> list[int]:
    """Those k that have a maj@k: above 1, where answers are read, which a program's and a function's are not."""
    read = not config.function and all(problem.verifier != "code" for problem in problems)
    return [k for k in ks if k > 1] if read else []


def majority_at(
    ks: Sequence[int], problems: Sequence[Problem], rollouts: Sequence[Rollout], grade: GradeAnswers
) -> list[np.ndarray]:
    """maj@k [problems] for each k, over all subsets of each problem's completions.

    Args:
        ks: samples that vote.
        problems: all that were answered, none of them by programs.
        rollouts: graded, as many of each.
        grade: the verifier.
    """
    if not ks:
        return []
    drawn = Counter(r.problem_id for r in rollouts)
    right = Counter(r.problem_id for r in rollouts if r.reward)
    wrong = _wrong_votes(problems, rollouts, grade)
    ballots = [(right[p.id], wrong[p.id], drawn[p.id] - right[p.id] - sum(wrong[p.id])) for p in problems]
    return [np.array([majority_at_k(*ballot, k) for ballot in ballots]) for k in ks]


def _wrong_votes(
    problems: Sequence[Problem], rollouts: Sequence[Rollout], grade: GradeAnswers
) -> dict[str, list[int]]:
    """Votes for each wrong answer, by problem: the verifier says which are the same, as of an answer and the gold one.

    An answer that could not be graded is the same as its like in letters alone; one that cannot be read is no vote.
    """
    votes: dict[str, list[int]] = defaultdict(list)
    left: dict[str, Counter[str]] = defaultdict(Counter)
    for rollout in rollouts:
        if rollout.outcome != "unparsed" and not rollout.reward and rollout.extracted is not None:
            left[rollout.problem_id][rollout.extracted] += 1
    gradable = {(r.problem_id, r.extracted) for r in rollouts if r.outcome == "wrong"}
    while left:
        first = {own: next(iter(answers)) for own, answers in left.items()}
        asked = [
            (replace(problem, answer=first[problem.id]), answer)
            for problem in problems
            if problem.verifier == "math" and (problem.id, first.get(problem.id)) in gradable
            for answer in left[problem.id]
            if answer != first[problem.id] and (problem.id, answer) in gradable
        ]
        grades = [(problem.id, answer, given) for (problem, answer), given in zip(asked, grade(asked), strict=True)]
        same = {(own, answer) for own, answer, given in grades if given.reward}
        stuck = (Outcome.TIMEOUT, Outcome.ERROR)  # none is waited for twice
        gradable -= {(own, answer) for own, answer, given in grades if given.outcome in stuck}
        for own, answers in left.items():
            alike = [answer for answer in answers if answer == first[own] or (own, answer) in same]
            votes[own].append(sum(answers.pop(answer) for answer in alike))
        left = {own: answers for own, answers in left.items() if answers}
    return votes
