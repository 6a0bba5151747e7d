"""Reads the answer out of a completion. Every reader takes time linear in the text."""

from __future__ import annotations

import re

from reasonmaxxer.config import Extraction, PromptStyle

# A sign counts only where it cannot be a subtraction, as in 10-3.
NUMBER = (
    r"(?<![\w.])(?:(?<![)\]}])[-−])?(?:\\?\$)?(?:(?<=\$)-)?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:/\d+)?"
)
_NUMBER = re.compile(NUMBER, re.ASCII)
_BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"\s*([^\s${}]+)")

_STYLES: dict[PromptStyle, Extraction] = {
    "qwen_boxed": "boxed",
    "llama_abel": "last_number",
    "chat_template": "stated_number",
}


def resolve_extraction(extraction: Extraction, prompt_style: PromptStyle) -> Extraction:
    """The reader that `auto` stands for: the one that suits what the prompt asks for."""
    return _STYLES[prompt_style] if extraction == "auto" else extraction


def extract(text: str, extraction: Extraction) -> str | None:
    r"""Read the answer of a completion; none if there is no answer to read.

    Args:
        text: the completion.
        extraction: `boxed`, the content of the last `\boxed{}` or `\fbox{}`; `last_number`; or
            `stated_number`, the number first stated as the answer. Not `auto`: resolve it first.

    Raises:
        ValueError: an unresolved or unknown extraction.
    """
    readers = {"boxed": last_boxed, "last_number": last_number, "stated_number": stated_number}
    if extraction not in readers:
        raise ValueError(f"extraction '{extraction}' is not one of {', '.join(readers)}")
    return readers[extraction](text)


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}`, or the word after a brace-less `\boxed`."""
    boxes = list(_BOXED.finditer(text))
    if not boxes:
        return None
    rest = text[boxes[-1].end() :]
    if rest.lstrip().startswith("{"):
        return _braced(rest.lstrip())
    word = _BARE.match(rest)
    return (word[1].rstrip(".,;") or None) if word else None


def _braced(text: str) -> str | None:
    """Content of the group that opens `text`; none if it is empty or never closed."""
    depth = 0
    for token in _BRACE.finditer(text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return text[1 : token.start()].strip() or None
    return None


def last_number(text: str) -> str | None:
    """The last number of the text, without currency, percent sign and thousands commas.

    Whole numbers, decimals, and fractions `a/b` of whole numbers.
    """
    found = _NUMBER.findall(text)
    return _plain(found[-1]) if found else None


def _plain(number: str) -> str:
    bare = number.translate({ord("$"): None, ord("\\"): None, ord(","): None, ord("−"): "-"})
    return bare.replace(".", "0.", 1) if bare.lstrip("-").startswith(".") else bare


# An answer is stated by a mark, or by a word for it and then, before any number, a word that
# announces it. The number is looked for in what follows, up to the sentence's end.
_MARKS = (r"#{4,}", r"\\boxed\s*\{")
_WORDS = ("answer", "total", "result")
_ANNOUNCING = (r"\bis\b", r"\bare\b", r"\bwas\b", r"\bequals\b", ":", "=")
_STATEMENT = re.compile(
    "|".join([*_MARKS, rf"\b(?:{'|'.join(_WORDS)})\b[^\n.:=\d]*[:=]?"]), re.IGNORECASE
)
_ANNOUNCEMENT = re.compile("|".join([*_MARKS, *_ANNOUNCING]), re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)")
_EQUATION = re.compile(rf"=[ *]*({NUMBER})", re.ASCII)
_SENTENCE_LENGTH = 200


def stated_number(text: str) -> str | None:
    """The number first stated as the answer, for models that ramble on after answering.

    It is the first announced number ("the answer is 7", "#### 7"), else the result of the last
    equation in the first paragraph that has one, else the last number of the text.
    """
    start = 0
    while statement := _STATEMENT.search(text, start):
        start = statement.end()
        if announcement := _ANNOUNCEMENT.search(text, statement.start(), start):
            sentence = _sentence(text, announcement.end())
            if number := _announced(sentence):
                return number
            start = max(start, announcement.end() + len(sentence))
    for paragraph in text.split("\n\n"):
        results = _EQUATION.findall(paragraph)
        if results:
            return _plain(results[-1])
    return last_number(text)


def _sentence(text: str, start: int) -> str:
    """What follows `start`, leading blanks and marks included, up to the sentence's end."""
    rest = text[start : start + _SENTENCE_LENGTH]
    blanks = len(rest) - len(rest.lstrip(" \t\r\n:*"))
    end = _SENTENCE_END.search(rest, blanks)
    return rest[: end.start()] if end else rest


def _announced(sentence: str) -> str | None:
    """The number a sentence announces: after its last `=` if it computes, else its first one."""
    numbers = _EQUATION.findall(sentence)[-1:] or _NUMBER.findall(sentence)[:1]
    return _plain(numbers[0]) if numbers else None
