"""Grades completions: reads every answer here, and leaves to workers what is not plain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

from reasonmaxxer.config import PromptStyle, VerifyConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.expressions import LONGEST_ANSWER
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.sandbox import require_sandbox
from reasonmaxxer.verify import gym
from reasonmaxxer.verify.conventions import conventions_of
from reasonmaxxer.verify.extract import extract, resolve_extraction
from reasonmaxxer.verify.literals import plainly_equivalent
from reasonmaxxer.verify.outcome import Grade, Outcome
from reasonmaxxer.verify.process import GradingProcess, ProgramGrader
from reasonmaxxer.verify.program import read_program

Item = tuple[Problem, str]

Request = dict[str, Any]
"""What a worker is asked, as JSON: `verifier` says which grader, the other keys are that grader's."""


class Verifier(AbstractContextManager["Verifier"]):
    """Grades (problem, completion) pairs; a context manager that ends its processes.

    Two plain numbers are compared at once. Everything else goes to a worker process, one item at a
    time, which is killed when it exceeds the time limit: that item is a timeout, one whose worker
    dies is an error, and the others are untouched. Outcomes do not depend on order or workers.
    Programs run in the sandbox, each in a process of its own.

    Args:
        config: extraction, time limit and number of processes for each verifier.
        prompt_style: what `auto` extraction follows.

    Raises:
        UserError: the user's function cannot be loaded.
    """

    def __init__(self, config: VerifyConfig, prompt_style: PromptStyle) -> None:
        self._extraction = resolve_extraction(config.extraction, prompt_style)
        self._config = config
        kinds = ["function"] if config.function else ["math", "reasoning_gym"]
        processes = [GradingProcess(config.timeout, kind) for kind in kinds for _ in range(config.workers)]
        if config.function:
            processes[0].check_function(config.function)
        programs = [ProgramGrader(config.timeout) for _ in range(config.workers)]
        self._workers: list[GradingProcess | ProgramGrader] = [*processes, *programs]
        self._idle: dict[str, SimpleQueue[GradingProcess | ProgramGrader]] = {
            worker.verifier: SimpleQueue() for worker in self._workers
        }
        for worker in self._workers:
            self._idle[worker.verifier].put(worker)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the workers; grading again starts new ones."""
        for worker in self._workers:
            worker.close()

    def grade(self, items: Sequence[Item]) -> list[Grade]:
        """One grade an item, in order.

        Raises:
            UserError: a reasoning-gym problem without `task` and `entry` in its metadata, or whose scorer needs a
                sandbox where none can run.
            RuntimeError: a worker could not be started.
        """
        if self._config.function:
            return self._graded([self._for_function(problem, text) for problem, text in items])
        return self.grade_answers([(problem, self._extract(problem, text)) for problem, text in items])

    def grade_answers(self, items: Sequence[tuple[Problem, str | None]]) -> list[Grade]:
        """The same of answers that were read before, none where there was none.

        Raises:
            UserError: a reasoning-gym problem without `task` and `entry` in its metadata, or whose scorer needs a
                sandbox where none can run.
            RuntimeError: a worker could not be started.
        """
        return self._graded([self._at_once_or_request(problem, answer) for problem, answer in items])

    def _extract(self, problem: Problem, text: str) -> str | None:
        if problem.verifier == "code":
            return read_program(text, problem)
        if problem.verifier == "reasoning_gym":
            return gym.stated_answer(text)
        return extract(text, self._extraction)

    def _at_once_or_request(self, problem: Problem, answer: str | None) -> Grade | Request:
        """The grade where no worker is needed to know it, else what a worker is asked."""
        if answer is None:
            wanted = "program" if problem.verifier == "code" else "answer"
            return Grade(Outcome.UNPARSED, None, f"no {wanted} was found in the completion")
        if problem.verifier == "code":
            return _for_tests(problem, answer)
        if problem.verifier == "reasoning_gym":
            return _for_gym(problem, answer)
        if len(answer) > LONGEST_ANSWER:
            return Grade(Outcome.UNPARSED, None, f"the answer is {len(answer)} characters long")
        conventions = conventions_of(problem, self._config)
        same = plainly_equivalent(problem.answer, answer, conventions)
        if same is not None:
            return Grade(Outcome.CORRECT if same else Outcome.WRONG, answer)
        return {"verifier": "math", "gold": problem.answer, "extracted": answer, "conventions": asdict(conventions)}

    def _for_function(self, problem: Problem, text: str) -> Request:
        request = {"verifier": "function", "function": self._config.function, "completion": text}
        return {**request, "answer": problem.answer, "metadata": dict(problem.metadata)}

    def _graded(self, items: Sequence[Grade | Request]) -> list[Grade]:
        """Grades, those of the requests by the workers."""
        answers = iter(self._ask_all([item for item in items if not isinstance(item, Grade)]))
        return [item if isinstance(item, Grade) else next(answers) for item in items]

    def _ask_all(self, requests: Sequence[Request]) -> list[Grade]:
        pool = ThreadPoolExecutor(self._config.workers, "verifier")
        try:
            return list(pool.map(self._ask, requests))
        except BaseException:  # such as Ctrl-C: do not wait for what is still being graded
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in self._workers:
                worker.kill()
            raise
        finally:
            pool.shutdown()

    def _ask(self, request: Request) -> Grade:
        idle = self._idle[request["verifier"]]
        worker = idle.get()
        try:
            outcome, detail = worker.ask(request)
        finally:
            idle.put(worker)
        return Grade(outcome, request.get("extracted"), detail)


def check_gradable(problems: Iterable[Problem], config: VerifyConfig) -> None:
    """Refuse problems that cannot be graded on this machine, before anything is sampled.

    Raises:
        UserError: some are programs, or of a task whose scorer evaluates text, and no sandbox can run.
    """
    for problem in () if config.function else problems:
        if problem.verifier == "code":
            require_sandbox("Running programs that a model wrote")
        if problem.verifier == "reasoning_gym":
            gym.check_task(problem.metadata.get("task", ""))


def _for_tests(problem: Problem, program: str) -> Request:
    tests = [problem.metadata[name] for name in ("tests", "hidden_tests") if name in problem.metadata]
    request = {"verifier": "code", "extracted": program, "tests": tests}
    return {**request, **{name: problem.metadata.get(name, "") for name in ("entry_point", "preamble")}}


def _for_gym(problem: Problem, answer: str) -> Request:
    try:
        task, entry = problem.metadata["task"], problem.metadata["entry"]
    except KeyError as error:
        raise UserError(
            f"Problem '{problem.id}' is graded by reasoning_gym but its metadata has no {error}; "
            "add it, or set its verifier to 'math'."
        ) from error
    gym.check_task(task)
    return {"verifier": "reasoning_gym", "task": task, "entry": entry, "extracted": answer}
