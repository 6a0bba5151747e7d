"""Prompt styles: how a problem becomes the token ids a model is asked with."""

from __future__ import annotations

from typing import Any

from reasonmaxxer.config import PromptStyle
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems.code import before_function
from reasonmaxxer.trial import check_template

TEXT_STYLES = {
    "qwen_boxed": (
        "Solve the following math problem step by step. Put your final answer in \\boxed{}.\n\nProblem: ",
        "\n\nSolution:",
    ),
    "llama_abel": ("Question:\n", "\nAnswer:\nLet's think step by step.\n"),
    "code_completion": ("", ""),
}
"""What stands before and after the problem in the styles of base models."""

CHAT_STYLES = {
    "chat_template": ("", ""),
    "chat_boxed": ("", "\nPlease reason step by step, and put your final answer within \\boxed{}."),
    "chat_code": (
        "You are an expert Python programmer, and here is your task: ",
        "\n\nAnswer with the function alone, in one Markdown code block.",
    ),
}
"""What the user's message says before and after the problem in the styles of chat models."""


def render_prompt(style: PromptStyle, text: str, tokenizer: Any) -> list[int]:
    """Token ids of the prompt that asks a model for this problem.

    Args:
        style: `chat_template` is the tokenizer's own, with the problem as the one user message;
            `chat_boxed` asks there for steps and a box as well, `chat_code` for a Python script in a code block; the
            others are plain text, with the special tokens the tokenizer adds (such as BOS), `code_completion` the
            problem alone.
        text: the problem.
        tokenizer: a transformers tokenizer.

    Raises:
        UserError: a style of chat models with a tokenizer that has no chat template, or one that fails,
            leaves the problem out or ends the conversation.
    """
    if style in CHAT_STYLES:
        check_template(tokenizer)
        return _chat(style, user_message(style, text), tokenizer)
    before, after = TEXT_STYLES[style]
    ids = list(tokenizer(before + text + after, add_special_tokens=True)["input_ids"])
    while ids[-1] == tokenizer.eos_token_id:  # some tokenizers end every text
        ids.pop()
    return ids


def user_message(style: PromptStyle, text: str) -> str:
    """What the user says in a style of chat models; of `chat_code`, code to be continued stands in a code block."""
    if style == "chat_code" and before_function(text) is not None:
        text = f"Complete this function.\n\n```python\n{text.rstrip()}\n```"
    return text.join(CHAT_STYLES[style])


def _chat(style: PromptStyle, text: str, tokenizer: Any) -> list[int]:
    """A user message, as text or, where the template wants that, in parts."""
    contents = (text, [{"type": "text", "text": text}]) if tokenizer.chat_template else ()
    faults: list[tuple[str, Exception | None]] = []
    for content in contents:
        messages = [{"role": "user", "content": content}]
        asked = {"add_generation_prompt": True, "return_dict": False}
        try:
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, **asked)
            ids = list(tokenizer.apply_chat_template(messages, **asked))
        except Exception as error:  # a template is a program, and fails as it likes
            faults.append((f"a chat template that fails ({error})", error))
            continue
        held = "".join(text.split()) in "".join(prompt.split())
        if not held or (content is not text and str(content) in prompt):
            faults.append((f"a chat template that leaves out the problem {text[:40]!r}", None))
        elif tokenizer.eos_token and prompt.rstrip().endswith(tokenizer.eos_token):
            faults.append((f"a chat template that ends the prompt in {tokenizer.eos_token}", None))
        else:
            return ids
    fault, cause = faults[0] if faults else ("no chat template", None)
    raise UserError(
        f"prompt style '{style}' does not suit {tokenizer.name_or_path or 'the model'}, which has {fault}; "
        f"choose {' or '.join(TEXT_STYLES)}."
    ) from cause
