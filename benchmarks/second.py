"""A second opinion on grades, by a small checker that shares no code with the first.

It compares values, exactly where they are rational; variables take sample values. What it cannot read it
leaves undecided. The rate at which the two disagree tells how far the grades of a data set can be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from arithmetic import LONGEST, Group, Number, UnreadableError, Value, read_value

from reasonmaxxer.config import VerifyConfig
from reasonmaxxer.problems.problem import Problem
from reasonmaxxer.verify.conventions import EXACT, Conventions, conventions_of
from reasonmaxxer.verify.outcome import Outcome

_POINTS = (1, 2, 3)
_REWRITES = [
    (re.compile(r"(?<=\d)(?:,\s*\\!|\{,\})\s*(?=\d{3})"), ""),
    (re.compile(r"√(\d+)"), r"\\sqrt{\1}"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°"), ""),
    (re.compile(r"\\(?:text|mbox)\s*\{[\s,]*(?:and|or)\s*\}|\s(?:and|or)\s"), ","),
    (re.compile(r"(?<![A-Za-z])np\."), ""),
    (re.compile(r"(?<=[\d.])[eE]\+?(-?\d+)(?!\d)"), r"*10^{\1}"),
    (re.compile(r"(?<![\\A-Za-z])(pi|sqrt|(?:arc)?(?:sin|cos|tan)|ln|log|exp)(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"^\s*[A-Za-z]\s*\\in\s"), ""),
    (re.compile(r"(?<=\d)\s+(\d+)/(\d+)"), r"\\frac{\1}{\2}"),
]  # fmt: skip
_TEXT = re.compile(r"\\(?:text|textbf|textrm|mathrm|mbox)\s*\{([^{}]*)\}(?:\s*\^\s*(?:\d|\{-?\d\}))?")
_BESIDE = re.compile(r"(?<=\$)\s*[A-Za-z][A-Za-z ]*\.?$")
_NAMED = re.compile(r"\s*\$?\s*([A-Za-z])\s*=[^=]*$")
_UNIT = re.compile(
    r"(?<=[\d}])(?:[ckm]m|k?g|ft|in|\s+(?!hundred|thousand|[mb]illion)[A-Za-z]{2,}[A-Za-z/ ]*"
    r"|\s+[mgshLNJWVK])(?:\^\d)?$"
)


@dataclass(frozen=True)
class Disagreement:
    """A grade that the second checker would not have given."""

    problem: Problem
    extracted: str
    outcome: Outcome


@dataclass(frozen=True)
class Agreement:
    """How often the second checker agrees with the grades.

    Attributes:
        compared: grades that say correct or wrong of an answer that the second checker can read.
        undecided: those whose answer it cannot read.
        disagreements: those that it would have given the other way.
    """

    compared: int
    undecided: int
    disagreements: tuple[Disagreement, ...]

    @property
    def disagreed_share(self) -> float:
        """Disagreements of those compared; 0 if there are none."""
        return len(self.disagreements) / max(1, self.compared)


def agreement(graded: Iterable[tuple[Problem, str | None, Outcome]]) -> Agreement:
    """Ask the second checker about grades of maths problems; thousands a second.

    Args:
        graded: problem, extracted answer and outcome of each completion.
    """
    compared, undecided, disagreements = 0, 0, []
    for problem, extracted, outcome in graded:
        decided = outcome in (Outcome.CORRECT, Outcome.WRONG) and problem.verifier == "math"
        if not decided or extracted is None:
            continue
        same = second_opinion(problem.answer, extracted, conventions_of(problem, VerifyConfig()))
        compared += same is not None
        undecided += same is None
        if same is not None and same != (outcome == Outcome.CORRECT):
            disagreements.append(Disagreement(problem, extracted, Outcome(outcome)))
    return Agreement(compared, undecided, tuple(disagreements))


def second_opinion(gold: str, extracted: str, conventions: Conventions = EXACT) -> bool | None:
    """Whether two answers are the same; none if that cannot be told. Time is linear in the text."""
    if max(len(gold), len(extracted)) > LONGEST:
        return None
    words = _words(gold), _words(extracted)
    in_words = r"\text" in gold + extracted and words[0].casefold() == words[1].casefold()
    if in_words or words[0] == words[1] != "":
        return True
    if _is_text(gold):
        return sorted(words[0].casefold().split(",")) == sorted(words[1].casefold().split(","))
    if len({found[1] for found in map(_NAMED.match, (gold, extracted)) if found}) > 1:
        return None
    verdict = _opinion(gold, extracted, conventions)
    if verdict is False and _opinion(gold.casefold(), extracted.casefold(), conventions):
        return None  # they differ in letter case
    return verdict


def _opinion(gold: str, extracted: str, conventions: Conventions) -> bool | None:
    try:
        pairs = [tuple(read_value(_plain(t), p) for t in (gold, extracted)) for p in _POINTS]
        return _same_everywhere(pairs, conventions)
    except (UnreadableError, ArithmeticError, ValueError):
        return None


def _words(text: str) -> str:
    """The text as it reads, without what only sets it."""
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)|\$|\.$", "", _TEXT.sub(r"\1", text))
    chosen = re.match(r"\(([A-Z])\)", text)
    return chosen[1] if chosen else text


def _is_text(text: str) -> bool:
    return bool(re.fullmatch(r"\s*\\text\s*\{\s*\(?[A-Za-z][A-Za-z ,']*\)?\s*\}\s*", text))


def _plain(text: str) -> str:
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _TEXT.sub("", _BESIDE.sub("", text)).strip() or _TEXT.sub(r"\1", text)
    text = _UNIT.sub("", text.lstrip(" $").rstrip(" $."))
    if r"\pm" in text and "," not in text:
        text = f"{text.replace(chr(92) + 'pm', '+')},{text.replace(chr(92) + 'pm', '-')}"
    return text


def _same_everywhere(pairs: Sequence[tuple[Value, ...]], conventions: Conventions) -> bool | None:
    """Whether two answers agree at every sample point."""
    if all(isinstance(v, Group) and v.kind == "=" for pair in pairs for v in pair):
        return _proportional([(_gap(gold), _gap(other)) for gold, other in pairs])
    if len({pair[0] for pair in pairs}) > 1:  # an expression in variables, which has no tolerance
        conventions = EXACT
    return _and([_same(gold, other, conventions) for gold, other in pairs])


def _gap(equation: Value) -> Number:
    sides = equation.items if isinstance(equation, Group) else ()
    left, right = sides
    if isinstance(left, Group) or isinstance(right, Group):
        raise UnreadableError
    return left - right


def _proportional(gaps: Sequence[tuple[Number, Number]]) -> bool | None:
    """Whether two equations are one, up to a factor; none if they hold no variable."""
    if len({gap for pair in gaps for gap in pair}) <= 2:
        return None
    ratios = [complex(gold) / complex(other) for gold, other in gaps]
    return all(abs(ratio - ratios[0]) <= 1e-9 * abs(ratios[0]) for ratio in ratios)


def _and(verdicts: Sequence[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _same(gold: Value, other: Value, conventions: Conventions) -> bool | None:
    if isinstance(gold, Group) and isinstance(other, Group):
        return _same_group(gold, other, conventions)
    if isinstance(gold, Group) or isinstance(other, Group):
        return _same_mixed(gold, other, conventions)
    return _same_number(gold, other, conventions)


def _same_mixed(gold: Value, other: Value, conventions: Conventions) -> bool | None:
    """A group and a number: a numeral with a base, a set of one, else different."""
    group, alone = (gold, other) if isinstance(gold, Group) else (other, gold)
    assert isinstance(group, Group)
    if group.kind == "_" or (group.kind == r"\{\}" and len(group.items) == 1):
        return _same(group.items[0], alone, conventions)
    return None if group.kind == "=" else False


def _same_group(gold: Group, other: Group, conventions: Conventions) -> bool | None:
    kinds = {gold.kind, other.kind}
    if kinds <= {",", r"\{\}"}:
        return _unordered(gold.items, list(other.items), conventions)
    if len(kinds) > 1:
        return None if kinds & {",", "=", "_", "matrix"} else False
    if len(gold.items) != len(other.items):
        return False
    return _and([_same(g, o, conventions) for g, o in zip(gold.items, other.items, strict=True)])


def _unordered(gold: Sequence[Value], left: list[Value], conventions: Conventions) -> bool | None:
    if len(gold) != len(left):
        return False
    for item in gold:
        verdicts = [_same(item, other, conventions) for other in left]
        if True not in verdicts:
            return None if None in verdicts else False
        left.pop(verdicts.index(True))
    return True


def _same_number(gold: Number, other: Number, conventions: Conventions) -> bool | None:
    """Equal, different, or too near to each other to tell."""
    if gold == other:
        return True
    size = abs(complex(gold))
    difference = _distance(gold, other)
    if difference <= max(conventions.absolute_tolerance, conventions.relative_tolerance * size):
        return True
    exact = isinstance(gold, Fraction) and isinstance(other, Fraction)
    if not exact and difference <= 1e-9 * max(size, 1e-9):
        return True
    return None if difference <= 1e-5 * size else False


def _distance(gold: Number, other: Number) -> float:
    if isinstance(gold, Fraction) and isinstance(other, Fraction):
        return float(abs(gold - other))
    return abs(complex(gold) - complex(other))
