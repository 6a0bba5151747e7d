r"""Whole expressions of a sentence: formulas between dollars, and in plain text runs of numbers and signs.

Of `\frac{3}{8}` there is no 3 to be had, of `(4, 7)` no 7, and what stands alone is read alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

LONGEST_ANSWER = 1000  # characters; what is longer is no answer, and is not parsed
_LANGUAGES = yaml.safe_load(Path(__file__).with_name("languages.yaml").read_text(encoding="utf-8"))


def words_for(role: str, without: str = "") -> str:
    """Regular expression of the words of a role in `languages.yaml`, in every language but one."""
    return "|".join(word for name, roles in _LANGUAGES.items() if name != without for word in roles.get(role, ()))


IS = rf"(?<!\w)(?:{words_for('is')})(?!\w)|{words_for('is_within')}|:"
_DELIMITER = re.compile(r"(?<!\\)\$\$?|\\[()\[\]]")
_CLOSING = {"$": "$", "$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_GROUP = re.compile(r"\\[A-Za-z]+\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\(?:text|mathrm)\s*\{[^{}]*\}|\\[A-Za-z]+")
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_NUMBER = (
    r"(?<![A-Za-z_.])(?:(?<!\d\s)|(?=\d+/\d))(?:\\?[$€£¥₹₽₩])?-?"
    r"(?:\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)|\d+(?:[.,:]\d+)*"
    r"|(?<!\d)\.\d+)"
    r"(?:[a-z]{1,3}(?![A-Za-z]))?%?"
)
_LETTER = (  # one that signs make a variable
    r"(?<![A-Za-z'])[A-Za-z](?=\(|\s*(?:[=<>≤≥+*/^]|!=|\\(?:[lg]e|ne|in|times|cdot)|-\s*\d))"
    r"|(?:(?<=\d)|(?<=[-=+*/^(<>≤≥])\s?)[A-Za-z](?![A-Za-z']|\s[a-z]{2})"
)
_ATOM = (
    rf"{_NUMBER}|\\[A-Za-z]+(?:\{{[^{{}}\n]*\}})*|[π√∞°%½²³!]|(?<![A-Za-z])(?:sqrt|pi)(?![A-Za-z])|{_LETTER}"
    r"|[-−–+*/^=<>≤≥≠±×÷·|()\[\]{}]"
)
_RUN = re.compile(rf"(?:{_ATOM})(?:\s?(?:{_ATOM}|,(?=[^()\[\]\n]{{0,40}}[)\]])))*")
_VALUE = re.compile(r"\d|\\[a-z]|[π√∞½]")
_EQUALS = re.compile(r"(?<![<>!:=\\])(?:=|≈|\\approx)(?!=)")
_NUMBERING = re.compile(r"^[ \t]*(?:\(?\d{1,2}[.)]|[-*•])\s", re.MULTILINE)
_RESULT = re.compile(
    r"(?:[=≈]|\\approx|[是为為は]"
    r"|(?<![A-Za-z])(?:gives(?: us)?|equals|results? in|resulting in|which is|makes)(?![A-Za-z]))[ *]*$",
    re.IGNORECASE,
)
_STATED = re.compile(rf"(?:{IS})[ *]*$", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|(?:,\s*)?(?:and|or)|和|或)\s*")
_AFTER = re.compile(  # what changes the value of the number before it, and what it measures
    r"\s*(?:(?:hundred|thousand|million|billion|trillion|dozen|squared|cubed|factorial|percent)(?![A-Za-z])|[万亿萬億]"
    r"|(?:or|and|to)\s+\$?-?\d[\d.,]*"
    r"|(?:seconds?|minutes?|hours?|days?|weeks?|months?|years?|inch(?:es)?|feet|yards?|miles?|[ckm]m|kg|grams?|pounds?)"
    r"(?![A-Za-z])(?:[²³]|\^\d)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Expression:
    """A whole expression and where it stands."""

    start: int
    end: int
    text: str


def expressions(text: str) -> list[Expression]:
    """The formulas of a text, and in the text between them the runs of numbers and signs."""
    found: list[Expression] = []
    start = 0
    text = _NUMBERING.sub(lambda mark: " " * len(mark[0]), text)
    for begin, content_begin, content_end, end in formulas(text):
        found += _runs(text, start, begin)
        if content := text[content_begin:content_end].strip(" .,"):
            found.append(Expression(begin, end, content))
        start = end
    return found + _runs(text, start, len(text))


def formulas(text: str) -> list[tuple[int, int, int, int]]:
    """Spans of the formulas: begin, begin of the content, end of it, end; dollars of money open none."""
    found: list[tuple[int, int, int, int]] = []
    opening: re.Match[str] | None = None
    for mark in _DELIMITER.finditer(text):
        if opening and _CLOSING.get(opening[0]) == mark[0]:
            content = text[opening.end() : mark.start()]
            if mark[0] != "$" or not _is_money(content, text[mark.end() : mark.end() + 1]):
                found.append((opening.start(), opening.end(), mark.start(), mark.end()))
                opening = None
                continue
        if opening is None or mark[0] in _CLOSING:
            opening = mark if mark[0] in _CLOSING else None
    return found


def _is_money(content: str, following: str) -> bool:
    """Whether what is between two dollars is text between two prices, as in "$5 and has $3"."""
    if not content.strip() or following.isdigit() or content[0].isspace() != content[-1].isspace():
        return True
    return _PROSE.search(_GROUP.sub("", content)) is not None


def _runs(text: str, start: int, end: int) -> list[Expression]:
    found = []
    for run in _RUN.finditer(text, start, end):
        trimmed = _trimmed(run[0]) if run.end() - run.start() <= LONGEST_ANSWER else ""
        begun = run[0].rstrip().endswith("=")  # cut off before it came to anything
        if _VALUE.search(trimmed) and not begun:
            at = text.index(trimmed, run.start())
            found.append(Expression(at, at + len(trimmed), trimmed))
    return found


def _trimmed(run: str) -> str:
    """Without signs and brackets at its ends that belong to the sentence."""
    run = re.sub(r"^[-–]\s+", "", re.sub(r"^(?:[ ,+*/=^×÷·|]|\.(?!\d))+", "", run)).rstrip(" ,.+*/=^<>≤≥≠±×÷·|-–!")
    while run and run[-1] in ")]}" and _depth(run) < 0:
        run = run[:-1].rstrip(" ,")
    while run and run[0] in "([{" and _depth(run) > 0:
        run = run[1:].lstrip(" ,")
    return run


def _depth(run: str) -> int:
    return sum(map(run.count, "([{")) - sum(map(run.count, ")]}"))


def stated(sentence: str) -> str | None:
    """What a sentence states: its last result if it computes, else what follows "is", else the first."""
    if found := results(sentence):
        return found[-1]
    there = expressions(sentence)
    after_is = [n for n, e in enumerate(there) if _STATED.search(_before(sentence, e))]
    return joined(sentence, there, (after_is or [0])[-1]) if there else None


def results(text: str) -> list[str]:
    """The expressions that something is said to equal."""
    return [result(e.text) for e in expressions(text) if _EQUALS.search(e.text) or _RESULT.search(_before(text, e))]


def _before(text: str, expression: Expression) -> str:
    return text[max(0, expression.start - 20) : expression.start]


def result(text: str) -> str:
    """The last side of a computation, which is an equation without a letter on its left; else the whole."""
    *left, last = _EQUALS.split(text)
    letters = any(re.search(r"[A-Za-z]", _COMMAND.sub("", side)) for side in left)
    return last.strip() if last.strip() and not letters else text


def joined(sentence: str, found: list[Expression], index: int = 0) -> str:
    """An expression with those that "and" or a comma joins to it, and a word that changes its value."""
    members, end = [result(found[index].text)], found[index].end
    for other in found[index + 1 :]:
        if not _AND.fullmatch(sentence, end, other.start):
            break
        members.append(other.text)
        end = other.end
    after = _AFTER.match(sentence, end)
    return ", ".join(members) + (after[0] if after else "")
