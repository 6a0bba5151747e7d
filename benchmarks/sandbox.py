"""Programs through the sandbox: how many a second, and whether its verdicts are those of plain Python.

    python benchmarks/sandbox.py --data-dir DIR [--limit N] [--only humaneval mbpp mbpp-sanitized]

Each reference solution must pass its own tests. Spoilt ones are another problem's solution under this one's name, and
the reference with one operator, comparison or number changed; some of those still do what is asked, so what counts is
that the sandbox judges each as one process does that runs program and tests. DIR holds `code/humaneval.jsonl`,
`code/mbpp.jsonl` and `code/mbpp_sanitized.jsonl`.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reasonmaxxer.config import SourceConfig, VerifyConfig
from reasonmaxxer.problems import Problem, load_problems
from reasonmaxxer.problems.catalogue import CATALOGUE, DATA_DIR
from reasonmaxxer.sandbox.bubblewrap import backend, sandboxed
from reasonmaxxer.verify import Verifier

NAMES = ("humaneval", "mbpp", "mbpp-sanitized")
TIMEOUT = 10.0
SWAPS: dict[type, Callable[[], Any]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def main() -> None:
    """Judge references and spoilt solutions, and time the references."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", nargs="+", default=NAMES)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    given = parser.parse_args()
    os.environ[DATA_DIR] = given.data_dir
    print(backend().version)
    for name in given.only:
        problems = _problems(name)[: given.limit]
        kinds = {"reference": [problem.answer for problem in problems], **_spoilt(problems)}
        for kind, programs in kinds.items():
            _compare(name, kind, problems, programs, given.workers)
    _floors(given.workers)


def _problems(name: str) -> list[Problem]:
    splits = CATALOGUE[name].splits or {"test": None}
    return [p for split in splits for p in load_problems(SourceConfig(source=name, split=split), 0, "problems")]


def _spoilt(problems: Sequence[Problem]) -> dict[str, list[str | None]]:
    """Two wrong programs a problem, None where there is none to make."""
    others = [*problems[1:], problems[0]]
    pairs = zip(problems, others, strict=True)
    swapped = [
        f"{other.answer}\n{_entry(problem)} = {_entry(other)}\n" if _entry(problem) != _entry(other) else None
        for problem, other in pairs
    ]
    return {"another's solution": swapped, "one operator changed": [_mutant(problem) for problem in problems]}


def _mutant(problem: Problem) -> str | None:
    """The reference with one operator of its function changed, drawn by the problem's id."""
    tree = ast.parse(problem.answer)
    places: list[tuple[Any, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
            places.append((node, "op"))
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            places.append((node, "ops"))
        elif isinstance(node, ast.Constant) and type(node.value) is int:
            places.append((node, "value"))
    if not places:
        return None
    node, field = random.Random(problem.id).choice(places)
    if field == "value":
        node.value += 1
    elif field == "op":
        node.op = SWAPS[type(node.op)]()
    else:
        node.ops[0] = SWAPS[type(node.ops[0])]()
    return ast.unparse(tree)


def _compare(name: str, kind: str, problems: Sequence[Problem], programs: Sequence[str | None], workers: int) -> None:
    items = [(problem, code) for problem, code in zip(problems, programs, strict=True) if code is not None]
    with Verifier(VerifyConfig(workers=workers, timeout=TIMEOUT), "chat_code") as verifier:
        verifier.grade_answers(items[:workers])  # starts the judges
        start = time.perf_counter()
        grades = verifier.grade_answers(items)
        seconds = time.perf_counter() - start
    with ThreadPoolExecutor(workers) as pool:
        plain = list(pool.map(_passes, items))
    outcomes = [grade.outcome.value for grade in grades]
    unlike = [
        (problem.id, grade.outcome.value, grade.detail)
        for (problem, _), grade, passes in zip(items, grades, plain, strict=True)
        if (grade.outcome.value == "correct") != passes
    ]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).most_common())
    print(f"{name}, {kind}: {len(items)} programs, {counts}; {len(items) / seconds:.0f} a second;", end=" ")
    print(f"{len(unlike)} judged otherwise than by plain Python {unlike or ''}", flush=True)


def _passes(item: tuple[Problem, str]) -> bool:
    """Whether program and tests run to their end in one process, as the benchmarks' own harnesses ask."""
    problem, code = item
    parts = [problem.metadata.get("preamble", ""), code, problem.metadata["tests"]]
    text = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n" + "\n".join(parts)
    command = [sys.executable, "-I", "-c", text]
    try:
        done = subprocess.run(command, timeout=TIMEOUT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _floors(workers: int, count: int = 200) -> None:
    """What a program costs at least: an interpreter, and one in a sandbox."""
    bare = [sys.executable, "-I", "-S", "-c", "pass"]
    for title, run in (("an interpreter alone", lambda _: subprocess.run(bare, check=True)), ("in a sandbox", _empty)):
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            _drain(pool.map(run, range(count)))
        print(f"{title}: {count / (time.perf_counter() - start):.0f} a second on {workers} workers")


def _empty(_: int) -> None:
    with sandboxed("pass") as (command, descriptors):
        subprocess.run(command, pass_fds=descriptors, check=True)


def _drain(results: Iterable[Any]) -> None:
    for _ in results:
        pass


def _entry(problem: Problem) -> str:
    return str(problem.metadata["entry_point"])


if __name__ == "__main__":
    main()
