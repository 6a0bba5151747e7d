"""Grades completions: reads every answer here, and leaves to workers what is not plain."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from reasonmaxxer.config import PromptStyle, VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import gym
from reasonmaxxer.verify.conventions import Conventions, conventions_of
from reasonmaxxer.verify.extract import extract, resolve_extraction
from reasonmaxxer.verify.maths import plainly_equivalent
from reasonmaxxer.verify.outcome import Grade, Outcome
from reasonmaxxer.verify.process import GradingProcess

Item = tuple[Problem, str]


class Verifier:
    """Grades (problem, completion) pairs; a context manager that ends its processes.

    Two plain numbers are compared at once. Everything else goes to a worker process, one item at a
    time, which is killed when it exceeds the time limit: that item is a timeout, one whose worker
    dies is an error, and the others are untouched. Outcomes do not depend on order or workers.

    Args:
        config: extraction, time limit and number of processes.
        prompt_style: what `auto` extraction follows.

    Raises:
        UserError: a function of the user's own that cannot be loaded.
    """

    def __init__(self, config: VerifyConfig, prompt_style: PromptStyle) -> None:
        self._extraction = resolve_extraction(config.extraction, prompt_style)
        self._function = config.function
        self._config = config
        self._workers = [GradingProcess(config.timeout) for _ in range(config.workers)]
        if config.function:
            self._workers[0].check_function(config.function)
        self._idle: SimpleQueue[GradingProcess] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def __enter__(self) -> Verifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the workers; grading again starts new ones."""
        for worker in self._workers:
            worker.close()

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """One grade an item, in order.

        Raises:
            UserError: a reasoning-gym problem without `task` and `entry` in its metadata.
            RuntimeError: a worker could not be started.
        """
        if self._function:
            return self._grade_by(self._function, items)
        return self.grade_answers([(problem, self._extract(problem, text)) for problem, text in items])

    def _grade_by(self, function: str, items: Sequence[Item]) -> list[Grade]:
        requests = [
            {
                "verifier": "function",
                "function": function,
                "completion": text,
                "answer": problem.answer,
                "metadata": dict(problem.metadata),
            }
            for problem, text in items
        ]
        return [Grade(outcome, None, detail) for outcome, detail in self._ask_all(requests)]

    def grade_answers(self, items: Sequence[tuple[Problem, str | None]]) -> list[Grade]:
        """The same of answers that were read before, none where there was none.

        Raises:
            UserError: a reasoning-gym problem without `task` and `entry` in its metadata.
            RuntimeError: a worker could not be started.
        """
        conventions = [conventions_of(problem, self._config) for problem, _ in items]
        grades = [_at_once(*item, how) for item, how in zip(items, conventions, strict=True)]
        requests = [
            (index, _request(problem, answer, conventions[index]))
            for index, (grade, (problem, answer)) in enumerate(zip(grades, items, strict=True))
            if grade is None and answer is not None
        ]
        answers = self._ask_all([request for _, request in requests])
        for (index, _), (outcome, detail) in zip(requests, answers, strict=True):
            grades[index] = Grade(outcome, items[index][1], detail)
        return [grade for grade in grades if grade is not None]

    def _extract(self, problem: Problem, text: str) -> str | None:
        if problem.verifier == "reasoning_gym":
            return gym.stated_answer(text)
        return extract(text, self._extraction)

    def _ask_all(self, requests: Sequence[dict[str, Any]]) -> list[tuple[Outcome, str | None]]:
        pool = ThreadPoolExecutor(len(self._workers), "verifier")
        try:
            return list(pool.map(self._ask, requests))
        except BaseException:  # such as Ctrl-C: do not wait for what is still being graded
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in self._workers:
                worker.kill()
            raise
        finally:
            pool.shutdown()

    def _ask(self, request: dict[str, Any]) -> tuple[Outcome, str | None]:
        worker = self._idle.get()
        try:
            return worker.ask(request)
        finally:
            self._idle.put(worker)


def _at_once(problem: Problem, answer: str | None, conventions: Conventions) -> Grade | None:
    """The grade where no worker is needed to know it."""
    if answer is None:
        return Grade(Outcome.UNPARSED, None, "no answer was found in the completion")
    if problem.verifier == "reasoning_gym":
        return None
    if len(answer) > LONGEST_ANSWER:
        return Grade(Outcome.UNPARSED, None, f"the answer is {len(answer)} characters long")
    same = plainly_equivalent(problem.answer, answer, conventions)
    return None if same is None else Grade(Outcome.CORRECT if same else Outcome.WRONG, answer)


def _request(problem: Problem, answer: str, conventions: Conventions) -> dict[str, Any]:
    if problem.verifier == "math":
        return {"verifier": "math", "gold": problem.answer, "extracted": answer, "conventions": asdict(conventions)}
    try:
        task, entry = problem.metadata["task"], problem.metadata["entry"]
    except KeyError as error:
        raise UserError(
            f"Problem '{problem.id}' is graded by reasoning_gym but its metadata has no {error}; "
            "add it, or set its verifier to 'math'."
        ) from error
    return {"verifier": "reasoning_gym", "task": task, "entry": entry, "extracted": answer}
