"""Which reader a prompt style asks for."""

from __future__ import annotations

from collections.abc import Iterable

from reasonmaxxer.config import Extraction, PromptStyle, VerifyConfig
from reasonmaxxer.problems.answers import finished, last_boxed, last_expression, read_answer
from reasonmaxxer.problems.problem import Problem

_STYLES: dict[PromptStyle, Extraction] = {
    "qwen_boxed": "boxed",
    "llama_abel": "last_number",
    "chat_template": "answer",
    "chat_boxed": "answer",
    "chat_code": "answer",
    "code_completion": "answer",
}


def resolve_extraction(extraction: Extraction, prompt_style: PromptStyle) -> Extraction:
    """The reader that `auto` stands for: the one that suits what the prompt asks for."""
    return _STYLES[prompt_style] if extraction == "auto" else extraction


def graded_by(config: VerifyConfig, prompt_style: PromptStyle, problems: Iterable[Problem]) -> str:
    """Where the answers to problems are read, or the verifier of one's own that grades without.

    Of a problem of code the whole program is read (`verify.program`) and run with its tests.
    """
    answer = resolve_extraction(config.extraction, prompt_style)
    read = dict.fromkeys("program, run with tests" if problem.verifier == "code" else answer for problem in problems)
    return config.function or "; ".join(read)


def extract(text: str, extraction: Extraction) -> str | None:
    r"""Read the answer of a completion; none if there is no answer to read.

    Args:
        text: the completion.
        extraction: `answer`, see `problems.answers`; `boxed`, the content of the last `\boxed{}` or
            `\fbox{}`; or `last_number`, the last number or formula. Not `auto`: resolve it first.

    Raises:
        ValueError: an unresolved or unknown extraction.
    """
    if extraction == "answer":
        return read_answer(text)
    readers = {"boxed": last_boxed, "last_number": last_expression}
    if extraction not in readers:
        raise ValueError(f"extraction '{extraction}' is not one of answer, {', '.join(readers)}")
    return readers[extraction](finished(text))
