"""How often the verifier is wrong: gold answers against themselves, and against others.

    python benchmarks/grading.py --data-dir DIR [--workers 2] [--json FILE]

DIR holds the benchmarks as JSON Lines (`math500.jsonl`, `gsm8k_test.jsonl`, ...). Of each, four sets are
graded: the gold solutions, read as a completion would be; the gold answers written another way; the answers
of other problems of the same kind; and the gold answers with one digit or the sign changed. The first two
should be correct, the others wrong; one that is accepted is no error if the second checker calls it equal
too (as 1/2 and 0.5, or within the tolerance of the benchmark).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import Extraction, VerifyConfig
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify import Grade, Outcome, Verifier
from reasonmaxxer.verify.conventions import conventions_of
from reasonmaxxer.verify.second import agreement, second_opinion

Case = tuple[Problem, str]
BENCHMARKS: dict[str, tuple[str, str, Extraction]] = {
    "MATH-500": ("math500", "math500", "boxed"),
    "MATH test, the rest": ("math_test_minus_math500", "math500", "boxed"),
    "MATH train": ("math_train", "math-train", "boxed"),
    "GSM8K test": ("gsm8k_test", "gsm8k", "stated_number"),
    "GSM8K train": ("gsm8k_train", "gsm8k-train", "stated_number"),
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


def problems(file: Path, benchmark: str) -> list[Problem]:
    rows = map(json.loads, filter(None, file.read_text(encoding="utf-8").split("\n")))
    return [
        Problem(
            row["id"],
            row["problem"],
            row["answer"],
            benchmark,
            metadata={**row, "benchmark": benchmark},
        )
        for row in rows
    ]


def solutions(pool: Sequence[Problem]) -> Iterator[Case]:
    """Gold solutions that state their answer; OlympiadBench's do not."""
    for problem in pool:
        text = str(problem.metadata.get("solution") or "")
        if r"\boxed" in text or "####" in text:
            yield problem, text


def boxed(problem: Problem, answer: str) -> Case:
    return problem, rf"\boxed{{{answer}}}"


def rewritten(pool: Sequence[Problem]) -> Iterator[Case]:
    """Gold answers written another way that means the same."""
    for problem in pool:
        for rewrite in (typeset, shortened, named):
            other = rewrite(problem.answer)
            if other != problem.answer:
                yield boxed(problem, other)


def typeset(answer: str) -> str:
    r"""With `\dfrac`, sized brackets, thin spaces, in dollars."""
    text = re.sub(r"\\frac(?![A-Za-z])", r"\\dfrac", _without_dollars(answer))
    if text.count("(") == text.count(")") and not re.search(r"\\left|\\text|[\[\]]", text):
        text = text.replace("(", r"\left(").replace(")", r"\right)")
    return f"${re.sub(r'(?<=[^0-9]) ?([+=]) ?', lambda m: f' {m[1]} ', text)}$."


def _without_dollars(answer: str) -> str:
    return answer.replace(r"\$", "").replace("$", "")


def shortened(answer: str) -> str:
    r"""With `a/b` for `\frac{a}{b}`, `\frac12` for `\frac{1}{2}`, no spaces after commas, text bare."""
    if re.fullmatch(r"\d+,\d{3}", answer):
        return answer.replace(",", "")
    text = re.sub(r"^(-?)\\d?frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", answer)
    text = re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2", text)
    text = re.sub(r"^\\text\{([A-Za-z ()]+)\}$", r"\1", re.sub(r",\s+", ",", text))
    return re.sub(r"\^\\circ$|\^\{\\circ\}$", "", text)


def named(answer: str) -> str:
    """As the value of something."""
    plain = not re.search(r"[=<>,]|\\(?:in|le|ge|text)(?![A-Za-z])", answer)
    return f"x = {_without_dollars(answer)}" if plain else answer


def shuffled(pool: Sequence[Problem]) -> Iterator[Case]:
    """Each problem with the answer of another of its kind."""
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in pool:
        row = problem.metadata
        kinds[str(row.get("answer_type") or row.get("subject"))].append(problem)
    for kind in kinds.values():
        others = random.Random(0).sample(kind, len(kind))
        pairs = zip(kind, others, strict=True)
        yield from (boxed(p, other.answer) for p, other in pairs if p.answer != other.answer)


def spoilt(pool: Sequence[Problem]) -> Iterator[Case]:
    """Gold answers with their last digit raised by one, and with their sign changed."""
    for problem in pool:
        digits = list(re.finditer(r"\d", problem.answer))
        if digits:
            at = digits[-1].start()
            raised = str((int(problem.answer[at]) + 1) % 10)
            yield boxed(problem, problem.answer[:at] + raised + problem.answer[at + 1 :])
        if re.fullmatch(r"-?[\d.]*[1-9][\d.]*|-?\\d?frac\{\d+\}\{\d+\}", problem.answer):
            minus = problem.answer.startswith("-")
            yield boxed(problem, problem.answer[1:] if minus else f"-{problem.answer}")


ARMS: dict[str, tuple[Callable[[Sequence[Problem]], Iterator[Case]], bool]] = {
    "gold solutions": (solutions, True),
    "rewritten": (rewritten, True),
    "shuffled": (shuffled, False),
    "spoilt": (spoilt, False),
}
"""What is graded, and whether it is right."""


def measure(
    name: str, arm: str, cases: Sequence[Case], extraction: Extraction, workers: int
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
            (d.problem.id, d.problem.answer, f"{d.extracted} ({d.outcome.value})")
            for d in opinion.disagreements
        ],
        compared=opinion.compared,
        seconds=seconds,
        cpu_seconds=cpu,
    )


def _cpu() -> float:
    """Processor seconds of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _equal(problem: Problem, grade: Grade) -> bool:
    conventions = conventions_of(problem)
    return second_opinion(problem.answer, grade.extracted or "", conventions) is True


COLUMNS = (
    "benchmark",
    "graded",
    "cases",
    "errors",
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
        shown.add_row(
            r.benchmark, r.graded, f"{r.cases:,}", errors, str(r.equal), disagreed, rate, each
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for name in arguments.only:
        file, benchmark, extraction = BENCHMARKS[name]
        pool = problems(arguments.data_dir / f"{file}.jsonl", benchmark)
        for arm, (make, _) in ARMS.items():
            if cases := list(make(pool)):
                reader = extraction if arm == "gold solutions" else "boxed"
                results.append(measure(name, arm, cases, reader, arguments.workers))
    console = Console(width=140)
    console.print(table(results))
    for result in results:
        for kind, cases in (("error", result.errors), ("disagreement", result.disagreements)):
            for case in cases:
                line = f"{kind}, {result.graded}: {' | '.join(case)}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if arguments.json:
        report: dict[str, Any] = {"environment": describe_environment("cpu", 0)}
        write_json({**report, "results": [vars(result) for result in results]}, arguments.json)


if __name__ == "__main__":
    main()
