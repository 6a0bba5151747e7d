"""How often the verifier and math-verify are wrong, on gold answers and answers made from them.

    python benchmarks/grading.py --data-dir DIR [--only NAME ...] [--workers 2] [--peer] [--json FILE]

DIR holds the benchmarks as JSON Lines (`math500.jsonl`, `gsm8k_test.jsonl`, ...). Of each, five sets are
graded: the gold solutions, read as a completion would be; the gold answers written another way; the answers
of other problems of the same kind; the gold answers with one digit or the sign changed; and predictions
made to please any grader. The first two should be correct, the others wrong; one that is accepted is no
error if a second checker, which shares no code with the first, calls it equal too (as 1/2 and 0.5, or
within the tolerance of the benchmark). With `--peer`, math-verify grades the same pairs, parsed and
verified as its README does, and both grade the cases of the tests (`tests/verify/cases.py`) by kind.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from grading_cases import ARMS, Case, hostile, problems
from rich.console import Console
from rich.table import Table
from second import agreement, second_opinion

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import Extraction, VerifyConfig
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.problems.answers import answer_of, gold_answer, last_boxed
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Grade, Outcome, Verifier
from reasonmaxxer.verify.conventions import conventions_of

sys.path.insert(0, str(Path(__file__).parents[1]))
BENCHMARKS: dict[str, tuple[str, str, Extraction]] = {
    "MATH-500": ("math500", "math500", "boxed"),
    "MATH test, the rest": ("math_test_minus_math500", "math500", "boxed"),
    "MATH train": ("math_train", "math-train", "boxed"),
    "GSM8K test": ("gsm8k_test", "gsm8k", "answer"),
    "GSM8K train": ("gsm8k_train", "gsm8k-train", "answer"),
    "Minerva": ("minerva_math", "minerva", "boxed"),
    "OlympiadBench": ("olympiadbench", "olympiadbench", "boxed"),
}
"""Name, and its file, conventions and extraction."""


@dataclass(frozen=True)
class Result:
    """One set of cases, graded.

    Attributes:
        errors: id, gold and extracted answer with its outcome.
        equal: accepted though they should be wrong, and equal in value.
        disagreements: the second checker's, in the same form.
        compared: grades on which it had an opinion.
        seconds: that grading took; the workers had been started.
        cpu_seconds: of all processes together, their start included.
        peer_errors: those of math-verify, if it was asked.
    """

    benchmark: str
    graded: str
    cases: int
    outcomes: dict[str, int]
    errors: list[tuple[str, str, str]]
    equal: int
    disagreements: list[tuple[str, str, str]]
    compared: int
    seconds: float
    cpu_seconds: float
    peer_errors: int | None = None


def peer(cases: Sequence[Case], workers: int) -> list[bool]:
    """What math-verify says, parsed and verified as its README does."""
    with Pool(workers) as pool:
        return pool.map(_peer, [(problem.answer, text) for problem, text in cases], chunksize=20)


def _peer(pair: tuple[str, str]) -> bool:
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    gold, text = pair
    text = f"${text}$" if answer_of(text) == text.strip() else text
    return bool(verify(parse(f"${gold}$"), parse(text)))


def kinds(workers: int) -> list[tuple[str, int, int, int, int, int]]:
    """Cases of the tests by kind: how many, wrong paid and right refused, by us and by math-verify."""
    from tests.verify.cases import CASES

    made = [(Problem(kind, "", gold_answer(gold) or gold, ""), text) for kind, gold, text, _ in CASES]
    with Verifier(VerifyConfig(workers=workers), "qwen_boxed") as verifier:
        grades = verifier.grade_answers([(problem, answer_of(text)) for problem, text in made])
    ours = [grade.outcome is Outcome.CORRECT for grade in grades]
    verdicts = list(zip(CASES, ours, peer(made, workers), strict=True))
    found = []
    for kind in dict.fromkeys(case[0] for case in CASES):
        of_kind = [(case[3], *said) for case, *said in verdicts if case[0] == kind]
        unlike = [
            sum(row[0] is not row[who] and row[who] is paid for row in of_kind)
            for who in (1, 2)
            for paid in (True, False)
        ]
        found.append((kind, len(of_kind), *unlike))
    return found


def measure(
    name: str, arm: str, cases: Sequence[Case], extraction: Extraction, workers: int, with_peer: bool = False
) -> Result:
    config = VerifyConfig(extraction=extraction, workers=workers)
    cpu = _cpu()
    with Verifier(config, "qwen_boxed") as verifier:
        verifier.grade([(Problem("warm", "", r"\sqrt2", ""), r"\boxed{x}")] * 4 * workers)
        start = time.perf_counter()
        grades = verifier.grade(cases)
        seconds = time.perf_counter() - start
    cpu = _cpu() - cpu
    graded = [(problem, grade) for (problem, _), grade in zip(cases, grades, strict=True)]
    opinion = agreement((p, g.extracted, g.outcome) for p, g in graded)
    unlike = [(p, g) for p, g in graded if (g.outcome is Outcome.CORRECT) != ARMS[arm][1]]
    errors = [pair for pair in unlike if ARMS[arm][1] or not _equal(*pair)]
    return Result(
        benchmark=name,
        graded=arm,
        cases=len(cases),
        outcomes=dict(Counter(grade.outcome.value for grade in grades)),
        errors=[(p.id, p.answer, f"{g.extracted} ({g.outcome.value})") for p, g in errors],
        equal=len(unlike) - len(errors),
        disagreements=[
            (d.problem.id, d.problem.answer, f"{d.extracted} ({d.outcome.value})") for d in opinion.disagreements
        ],
        compared=opinion.compared,
        seconds=seconds,
        cpu_seconds=cpu,
        peer_errors=_peer_errors(cases, ARMS[arm][1], workers) if with_peer else None,
    )


def _peer_errors(cases: Sequence[Case], right: bool, workers: int) -> int:
    """Errors of math-verify, by the same rule."""
    unlike = [case for case, same in zip(cases, peer(cases, workers), strict=True) if same is not right]
    return sum(right or not _equal(p, Grade(Outcome.CORRECT, last_boxed(text))) for p, text in unlike)


def _cpu() -> float:
    """Processor seconds of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _equal(problem: Problem, grade: Grade) -> bool:
    conventions = conventions_of(problem, VerifyConfig())
    return second_opinion(problem.answer, grade.extracted or "", conventions) is True


COLUMNS = (
    "benchmark",
    "graded",
    "cases",
    "errors",
    "math-verify",
    "equal",
    "second disagrees",
    "a second",
    "CPU ms each",
)


def table(results: Sequence[Result]) -> Table:
    shown = Table(title="Errors of the verifier", title_justify="left")
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for r in results:
        errors = f"{len(r.errors)} ({len(r.errors) / r.cases:.2%})"
        disagreed = f"{len(r.disagreements)} of {r.compared:,}"
        rate, each = f"{r.cases / r.seconds:,.0f}", f"{1000 * r.cpu_seconds / r.cases:.1f}"
        theirs = "" if r.peer_errors is None else f"{r.peer_errors} ({r.peer_errors / r.cases:.2%})"
        shown.add_row(r.benchmark, r.graded, f"{r.cases:,}", errors, theirs, str(r.equal), disagreed, rate, each)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--hostile", type=int, default=0, help="Hostile answers graded.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for name in arguments.only:
        file, benchmark, extraction = BENCHMARKS[name]
        pool = problems(arguments.data_dir / f"{file}.jsonl", benchmark)
        for arm, (make, _) in ARMS.items():
            if cases := list(make(pool)):
                reader = extraction if arm == "gold solutions" else "boxed"
                results.append(measure(name, arm, cases, reader, arguments.workers, arguments.peer))
    console = Console(width=140)
    console.print(table(results))
    if arguments.peer:
        by_kind = Table("kind", "cases", "paid", "refused", "math-verify paid", "refused", title="Cases of the tests")
        for row in kinds(arguments.workers):
            by_kind.add_row(*map(str, row))
        console.print(by_kind)
    for result in results:
        for kind, cases in (("error", result.errors), ("disagreement", result.disagreements)):
            for case in cases:
                line = f"{kind}, {result.graded}: {' | '.join(case)}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if arguments.hostile:
        start = time.perf_counter()
        with Verifier(VerifyConfig(workers=arguments.workers, extraction="answer"), "qwen_boxed") as verifier:
            grades = verifier.grade(list(hostile(arguments.hostile)))
        counts = dict(Counter(grade.outcome.value for grade in grades))
        console.print(f"hostile answers: {counts} in {time.perf_counter() - start:.0f} s")
        for detail, number in Counter(g.detail for g in grades if g.outcome is Outcome.ERROR).most_common(5):
            console.print(f"  {number} x {detail}", markup=False, highlight=False)
    if arguments.json:
        report: dict[str, Any] = {"environment": describe_environment("cpu", 0)}
        write_json({**report, "results": [vars(result) for result in results]}, arguments.json)


if __name__ == "__main__":
    main()
