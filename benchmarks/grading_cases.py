"""Cases for a grader of maths answers, made from the gold answers of benchmarks or from fragments."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reasonmaxxer.problems.problem import Problem

Case = tuple[Problem, str]
"""A problem and a completion to grade."""


def problems(file: Path, benchmark: str) -> list[Problem]:
    rows = map(json.loads, filter(None, file.read_text(encoding="utf-8").split("\n")))
    return [
        Problem(row["id"], row["problem"], row["answer"], benchmark, metadata={**row, "benchmark": benchmark})
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
    if re.search(r"\\(?:sin|cos|tan)", text):
        return text  # of degrees, not of radians
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


UNIVERSAL = (
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10", "0 or 1 or 2 or 3", r"\{0, 1, 2, 3, 4, 5\}", r"\mathbb{R}",
    r"(-\infty, \infty)", "x", "x = x", "0 = 0", r"\text{the answer}", r"\text{any number}", "", " ", "{}",
    r"\emptyset \cup \mathbb{R}",
    "1\u200b2\u200b3\u200b4", r"\pm 1", "n", "1 2 3 4 5", "0..100", r"\infty", "?", "a, b, c",
    r"\text{see above}",
    r"x \ge 0 or x < 0", r"\max(1, x)", "10^{-50}", r"\frac{0}{0}", r"\text{A, B, C, D}", "[0, 100]",
)  # fmt: skip
"""Predictions that name many answers, or none."""


def gaming(pool: Sequence[Problem]) -> Iterator[Case]:
    """Predictions that should never be paid, against some of the gold answers."""
    some = random.Random(0).sample(pool, min(len(pool), 20))
    for problem in some:
        for answer in UNIVERSAL:
            if answer.strip(" {}") != problem.answer:
                yield boxed(problem, answer)
        yield problem, rf"\boxed{{0}} \boxed{{{problem.answer}}} and \boxed{{2}}, \boxed{{3}}"
        yield problem, rf"<think>it is \boxed{{{problem.answer}}}"
        yield problem, rf"It is not {problem.answer} but \boxed{{}}"


ARMS: dict[str, tuple[Callable[[Sequence[Problem]], Iterator[Case]], bool]] = {
    "gold solutions": (solutions, True),
    "rewritten": (rewritten, True),
    "shuffled": (shuffled, False),
    "spoilt": (spoilt, False),
    "gaming": (gaming, False),
}
"""What is graded, and whether it is right."""


def hostile(count: int) -> Iterator[Case]:
    """Answers that mean to hang, crash or be evaluated, of fragments thrown together."""
    draw = random.Random(0)
    gold = [Problem("hostile", "", answer, "") for answer in ("5", r"\frac{1}{2}", "x^2", "(1,2)", "x<3")]
    for _ in range(count):
        pieces = draw.choices(FRAGMENTS, k=draw.randrange(1, 12))
        text = "".join(piece * draw.choice((1, 1, 1, 2, 30, 300)) for piece in pieces)
        yield draw.choice(gold), rf"\boxed{{{text}}}" if draw.random() < 0.7 else text


FRAGMENTS = (
    "9", "^", "{", "}", "(", ")", "[", "]", "9^{9^{9}}", r"\frac{1}{0}", r"\sqrt{", r"\binom{10^{9}}{5}",
    "!", "9!!", "x", r"\sum_{k=1}^{10^{12}}", r"\int_0^\infty", r"\begin{pmatrix}", r"\end{pmatrix}", "&",
    r"\\", "<", ",", "=", ":", "__import__('os').system('id')", "eval(1)", "lambda: 0", "import sys",
    "\0", "\ud800", "\u202e", "<script>", "$", r"\text{", "or", "and", "1e999", "0.(3)", "10 000", "six",
    "million", r"\log_{0}", r"\lim_{x\to 0}", "|", "i", r"\pi", "-", ".",
)  # fmt: skip
