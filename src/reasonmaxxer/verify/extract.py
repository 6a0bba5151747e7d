"""Reads the answer out of a completion. Every reader takes time linear in the text."""

from __future__ import annotations

import re

from reasonmaxxer.config import Extraction, PromptStyle, VerifyConfig

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
    "chat_template": "stated_answer",
    "chat_boxed": "stated_answer",
}


def resolve_extraction(extraction: Extraction, prompt_style: PromptStyle) -> Extraction:
    """The reader that `auto` stands for: the one that suits what the prompt asks for."""
    return _STYLES[prompt_style] if extraction == "auto" else extraction


def graded_by(config: VerifyConfig, prompt_style: PromptStyle) -> str:
    """Where answers are read, or the verifier of one's own that grades without."""
    return config.function or resolve_extraction(config.extraction, prompt_style)


def extract(text: str, extraction: Extraction) -> str | None:
    r"""Read the answer of a completion; none if there is no answer to read.

    Args:
        text: the completion.
        extraction: `boxed`, the content of the last `\boxed{}` or `\fbox{}`; `last_number`;
            `stated_number`, the number first stated as the answer; or `stated_answer`, the first of these
            where there is a box, else the last. Not `auto`: resolve it first.

    Raises:
        ValueError: an unresolved or unknown extraction.
    """
    readers = {
        "boxed": last_boxed,
        "last_number": last_number,
        "stated_number": stated_number,
        "stated_answer": stated_answer,
    }
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


_PROSE = re.compile(
    r"####|(?<![\\A-Za-z])(?:is|are|was|were|answer|so|thus|hence|therefore|equals|gives|get)(?![A-Za-z])",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_GROUP = re.compile(r"\\[A-Za-z]+\s*\{[^{}]*\}")


def answer_of(text: str) -> str | None:
    r"""The answer in a text that may be an answer alone or a whole completion.

    The content of the last `\boxed{}` if there is a box; the whole text if it is one line of at most four
    words outside of LaTeX groups, none of them one that announces an answer; else the stated number.
    """
    line = text.strip()
    words = _GROUP.sub("", line)
    alone = (
        not _BOXED.search(text)
        and "\n" not in line
        and not _PROSE.search(words)
        and len(_WORD.findall(words)) <= 4
    )
    return (line or None) if alone else stated_answer(text)


def stated_answer(text: str) -> str | None:
    """The content of the last box, for models that box unasked; without a box the stated number."""
    return last_boxed(text) if _BOXED.search(text) else stated_number(text)


def last_number(text: str) -> str | None:
    """The last number of the text, without currency, percent sign and thousands commas.

    Whole numbers, decimals, and fractions `a/b` of whole numbers.
    """
    found = _NUMBER.findall(text)
    return _plain(found[-1]) if found else None


def _plain(number: str) -> str:
    bare = number.translate({ord("$"): None, ord("\\"): None, ord(","): None, ord("−"): "-"})
    return bare.replace(".", "0.", 1) if bare.lstrip("-").startswith(".") else bare


# Every gap between words is bounded, or a line of a million "answer"s would take quadratic time.
_ANSWER = re.compile(
    r"(?:\banswer\b[^\n.:=\d]{0,60}?(?:\bis\b|\bequals\b|:|=))[\s*:=]{0,20}([^\n]*)",
    re.IGNORECASE,
)
_MARK = re.compile(r"(?:#{4,}|\\boxed\s*\{)[\s*:=]{0,20}([^\n]*)")
_CONCLUSION = re.compile(
    r"^\W{0,20}(?:so|therefore|thus|hence|finally|in total|in other words|in conclusion|this means"
    r"|that means|the (?:total|final|result))\b|\btotal\b[^.:=\d]{0,60}\b(?:is|was)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_RESULT = re.compile(
    rf"(?:=|\b(?:gives(?: us)?|equals|results? in|resulting in|which is)\b)[ *]*({NUMBER})",
    re.ASCII | re.IGNORECASE,
)


def stated_number(text: str) -> str | None:
    r"""The number stated as the answer, for models that ramble on after answering.

    It is the first one marked as such ("#### 7", `\boxed{7}`); else the first one announced ("the
    answer is 7"); else that of the last sentence that draws a conclusion ("So, ... 7 ..."); else the
    last result in the first paragraph that computes one; else the last number of the text.
    """
    marked, announced = (
        (_stated(_sentences(match[1])[0]) for match in pattern.finditer(text))
        for pattern in (_MARK, _ANSWER)
    )
    concluded = (_stated(s) for s in reversed(_sentences(text)) if _CONCLUSION.search(s))
    computed = (_results(paragraph)[-1:] for paragraph in text.split("\n\n"))
    for numbers in (marked, announced, concluded, (found[0] for found in computed if found)):
        if number := next(filter(None, numbers), None):
            return number
    return last_number(text)


def _sentences(text: str) -> list[str]:
    return _SENTENCE_END.split(text)


def _stated(sentence: str) -> str | None:
    """The number a sentence states: its last result if it computes, else its first number."""
    numbers = _results(sentence)[-1:] or [_plain(n) for n in _NUMBER.findall(sentence)[:1]]
    return numbers[0] if numbers else None


def _results(text: str) -> list[str]:
    return [_plain(number) for number in _RESULT.findall(text)]
