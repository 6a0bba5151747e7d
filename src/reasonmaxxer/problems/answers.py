"""Reads the answer out of a text, gold solution or completion, in any language and in linear time.

Of these places the first that holds a whole expression is taken: after the end of the thinking, the last of
the explicit answers (`<answer>`, `####`, "the answer is") and boxes; else the last sentence that concludes;
else the last result of the first paragraph that computes; else the last expression.
"""

from __future__ import annotations

import re

from reasonmaxxer.problems.expressions import (
    IS,
    LONGEST_ANSWER,
    expressions,
    formulas,
    joined,
    result,
    results,
    stated,
    words_for,
)

_BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_UNBRACED = re.compile(r"[^\s${}]+")
_FILLING = r"(?:[\s$.~]|\\[,;: ]|\\q?quad|\\text\{|\}|\\[()\[\]])*"
_BETWEEN = re.compile(  # "or" alone joins two names of one thing, as 7/2 or 3.5
    rf"{_FILLING}(?:,(?!{_FILLING}or)|;|&|and|和|(?:or|或)(?=[^=]*=)){_FILLING}(?:and)?{_FILLING}"
    r"(?:[A-Za-z]\s*=\s*)?"
)
_THINKING = re.compile(r"</?think(?:ing)?>")
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_EMPHASIS = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x3001: ","}
_NEXT_PROBLEM = re.compile(
    r"\n[ \t]*(?:[#*]+ ?)?(?:question|problem|q|human|user|instruction)\b[ \d]{0,9}\**:", re.IGNORECASE
)
_TAG = re.compile(r"<answer>([^<]*(?:<(?!/?answer>)[^<]*)*)</answer>")
_MARK = re.compile(r"^[ \t]*####(?!#)[ \t]*(?=[^\n])", re.MULTILINE)
# Gaps are bounded, or a line of a million "answer"s would take quadratic time.
_ANSWER = re.compile(
    rf"(?:{words_for('answer')})[^\n.:=\d?]{{0,60}}?(?:{IS}|=)[\s*:=]{{0,20}}"
    rf"|^[*\s]{{0,9}}A:[ \t*]*|(?:{words_for('answer', without='english')})\s{{0,3}}(?=[-\d$\\])"
    r"|[选選]:?(?=\s?\(?[A-E])",
    re.IGNORECASE | re.MULTILINE,
)
_CONCLUSION = re.compile(
    rf"^\W{{0,20}}(?:(?:{words_for('so')})\b|{words_for('so_within')})|\btotal\b[^.:=\d]{{0,60}}\b(?:is|was)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？।])|\n+")
_FILLER = re.compile(
    r"(?:\W|(?<!\w)(?:therefore|thus|so|simply|just|exactly|approximately|about|only|equal|to|an?|the|total|of"
    r"|then|that|also|indeed|now|is|x|rs|usd)(?!\w))*",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(r"[\d\s.,]+[-+*/×·÷][^A-Za-z\\]*")
_OPERATION = re.compile(r"\s*(?:times|multiplied|divided|plus|minus|added|subtracted)(?![A-Za-z])", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(?:can ?not|can't|unable to|not able to) (?:be |determine|find|finish|solve|answer)", re.IGNORECASE
)
_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{2,}")
_GROUP = re.compile(r"\\[A-Za-z]+\s*\{[^{}]*\}")
_SAID = re.compile(r"<<|(?<![A-Za-z])(?:is|are|was|were|has|have|gets?|gives?|find)(?![A-Za-z])", re.IGNORECASE)


def read_answer(text: str) -> str | None:
    """The answer stated in a text, by the order of places above; none if there is none.

    What a text goes on to after it, such as the next problem of a prompt with examples, is not read.
    """
    text = finished(text)
    following = next((m for m in _NEXT_PROBLEM.finditer(text) if text[: m.start()].strip()), None)
    found = _read(text[: following.start()]) if following else None
    return found or _read(text)


def answer_of(text: str) -> str | None:
    """The answer in a text that may be an answer alone or a completion.

    The whole text if it is one line of at most four words outside of LaTeX groups that states nothing; else
    what is read from it.
    """
    line = plain_digits(text.strip())
    prose = _GROUP.sub("", line)
    words = _WORD.findall(prose)
    said = (_BOXED, _ANSWER, _CONCLUSION, _MARK, _TAG, _THINKING)
    sentence = len(words) > 4 or (len(words) > 2 and line[-1] in ".!?。")
    if "\n" in line or sentence or _SAID.search(prose) or any(p.search(line) for p in said):
        return read_answer(text)
    return line or None


def gold_answer(text: str) -> str | None:
    r"""The answer of a gold solution: of the last `####` or `\boxed{}` that holds one.

    Empty if none holds one, none if there is neither. A `####` that begins with a word is a heading, unless
    it is all there is.
    """
    text = finished(text)
    marks = [(mark.start(), _line(text, mark.end())) for mark in _MARK.finditer(text)]
    places = [(at, line) for at, line in marks if _announced(line, words=False)]
    at, box = _boxes(text)
    if box == "":  # never closed
        at, box = _boxes(text[:at])
    if box:
        places.append((at, box))
    found = max(places, default=None) or (marks[-1] if marks else None)
    return found[1] if found else ("" if "####" in text or _BOXED.search(text) else None)


def finished(text: str) -> str:
    """What follows the thinking, nothing if it never ends; digits plain, each formula on one line."""
    text = plain_digits(after_thinking(text))
    text = _EMPHASIS.sub("", _CALCULATOR.sub("", text))
    pieces, start = [], 0
    for begin, _, _, end in formulas(text):
        pieces += [text[start:begin], text[begin:end].replace("\n", " ")]
        start = end
    return "".join(pieces) + text[start:]


def after_thinking(text: str) -> str:
    """What follows the thinking between `<think>` marks; nothing if it never ends."""
    marks = list(_THINKING.finditer(text))
    if not marks:
        return text
    return text[marks[-1].end() :] if "/" in marks[-1][0] else ""


def plain_digits(text: str) -> str:
    """With full-width signs and the decimal digits of any script as ASCII."""
    if text.isascii():
        return text
    return re.sub(r"\d", lambda digit: str(int(digit[0])), text.translate(_WIDE))


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` or `\fbox{...}`; of several joined by "and", their list."""
    return _boxes(text)[1] or None


def last_expression(text: str) -> str | None:
    """The last number of a text, or the last formula with one, whole."""
    for line in reversed(text.split("\n")):
        if found := [e for e in expressions(line) if re.search(r"\d", e.text)]:
            return result(found[-1].text)
    return None


def _read(text: str) -> str | None:
    explicit = _explicit(text)
    if explicit is not None:
        return explicit or None
    concluded = (stated(s) for s in reversed(_SENTENCE_END.split(text)) if _CONCLUSION.search(s))
    if found := next(filter(None, concluded), None):
        return found
    if _UNSURE.search(text):
        return None
    computed = next(filter(None, map(results, text.split("\n\n"))), None)
    return computed[-1] if computed else last_expression(text)


def _explicit(text: str) -> str | None:
    """The last explicit answer or box that can be read; empty if it is a box that is never closed."""
    at, box = _boxes(text)
    places = [(at, box)] if box is not None else []
    for pattern in (_TAG, _MARK, _ANSWER):
        for mark in reversed(list(pattern.finditer(text))):
            if mark.start() < max(places, default=(-1, ""))[0]:
                break
            tagged = mark[1].strip() if mark.lastindex else None
            if found := tagged or _announced(_line(text, mark.end()), not places):
                places.append((mark.start(), found))
                break
    return max(places, default=(0, None))[1]


def _line(text: str, start: int) -> str:
    return text[start : start + LONGEST_ANSWER].partition("\n")[0].strip()


def _announced(clause: str, words: bool) -> str | None:
    """The answer that opens a clause, after such as "therefore"; a few words if they may be one."""
    while inner := _ANSWER.search(clause):
        clause = clause[inner.end() :]
    sentences = _SENTENCE_END.split(clause.strip())
    sentence = next(filter(expressions, sentences), None)
    if sentence is None:
        said = sentences[0].strip(" .。:*\"'")
        return said if words and 0 < len(said.split()) <= 6 else None
    found = expressions(sentence)
    if not _FILLER.sub("", sentence[: found[0].start], count=1).strip():
        computed = results(sentence)
        if _ARITHMETIC.fullmatch(found[0].text) or _OPERATION.match(sentence, found[0].end):
            return computed[-1] if computed else None
        return joined(sentence, found)
    if not words:
        return None
    short = sentence.isascii() and len(sentence.split()) <= 3  # as "June 20"
    return sentence.strip(" .*") if short else stated(sentence)


def _boxes(text: str) -> tuple[int, str | None]:
    """Where the last box begins, and what it holds: empty if it is never closed."""
    found: list[str] = []
    begin = -1
    for box in reversed(list(_BOXED.finditer(text))):
        content, end = _content(text, box.end())
        if not found and end < 0:
            return box.start(), ""
        if found and not (0 <= end <= begin and _BETWEEN.fullmatch(text, end, begin)):
            break
        if content:
            found.insert(0, content)
            begin = box.start()
    return begin, ", ".join(dict.fromkeys(found)) or None


def _content(text: str, start: int) -> tuple[str, int]:
    """Content of the group that opens at `start`, or the word there, and its end; -1 if it never closes."""
    if not text.startswith("{", start):
        word = _UNBRACED.match(text, start)
        return (word[0].rstrip(".,;"), word.end()) if word else ("", start)
    depth = 0
    for token in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return text[start + 1 : token.start()].strip(), token.end()
    return "", -1
