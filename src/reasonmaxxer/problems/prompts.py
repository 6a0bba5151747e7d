"""Prompt styles: how a problem becomes the token ids a model is asked with."""

from __future__ import annotations

from typing import Any

from reasonmaxxer.config import PromptStyle
from reasonmaxxer.errors import UserError
from reasonmaxxer.trial import check_template

TEXT_STYLES = {
    "qwen_boxed": (
        "Solve the following math problem step by step. Put your final answer in \\boxed{}.\n\nProblem: ",
        "\n\nSolution:",
    ),
    "llama_abel": ("Question:\n", "\nAnswer:\nLet's think step by step.\n"),
}
"""What stands before and after the problem in the styles of base models."""

CHAT_STYLES = {
    "chat_template": "",
    "chat_boxed": "\nPlease reason step by step, and put your final answer within \\boxed{}.",
}
"""What the user's message says after the problem in the styles of chat models."""


def render_prompt(style: PromptStyle, text: str, tokenizer: Any) -> list[int]:
    """Token ids of the prompt that asks a model for this problem.

    Args:
        style: `chat_template` is the tokenizer's own, with the problem as the one user message;
            `chat_boxed` asks there for steps and a box as well; the others are plain text, with the special
            tokens the tokenizer adds (such as BOS).
        text: the problem.
        tokenizer: a transformers tokenizer.

    Raises:
        UserError: a style of chat models with a tokenizer that has no chat template, or one that fails,
            leaves the problem out or ends the conversation.
    """
    if style in CHAT_STYLES:
        check_template(tokenizer)
        return _chat(style, text + CHAT_STYLES[style], tokenizer)
    before, after = TEXT_STYLES[style]
    ids = list(tokenizer(before + text + after, add_special_tokens=True)["input_ids"])
    while ids[-1] == tokenizer.eos_token_id:  # some tokenizers end every text
        ids.pop()
    return ids


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
        f"problems.prompt_style is '{style}', but {tokenizer.name_or_path or 'the model'} has {fault}; "
        f"choose {' or '.join(TEXT_STYLES)}."
    ) from cause
