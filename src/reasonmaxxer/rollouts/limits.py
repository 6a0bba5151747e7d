"""What a model and a recipe leave room for, checked before any problem is answered."""

from collections.abc import Callable, Sequence

from reasonmaxxer.config import Config
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.models.base import table_positions
from reasonmaxxer.problems import Problem, render_prompt


def check_prompts(
    problems: Sequence[Problem],
    loaded: LoadedModel,
    config: Config,
    prompt_style: str,
    max_new_tokens: str,
    warn: Callable[[str], None],
) -> int:
    """Refuse problems that a model cannot be asked.

    Args:
        problems: all that will be asked.
        loaded: the model.
        config: of the command.
        prompt_style: its key of how a problem becomes a prompt.
        max_new_tokens: its key of the longest completion, tokens.
        warn: told where completions may leave the positions that the model was made for.

    Returns:
        Tokens of the longest prompt.

    Raises:
        UserError: a prompt has tokens that the model does not know, or a completion may come to positions
            that it does not have.
    """
    style, new = config.value(prompt_style), config.value(max_new_tokens)
    try:
        prompts = [render_prompt(style, p.text, loaded.tokenizer) for p in problems]
    except UserError as error:
        raise UserError(f"{prompt_style}: {error}") from error
    known = len(loaded.model.get_input_embeddings().weight)
    if (largest := max(map(max, prompts))) >= known:
        raise UserError(
            f"{loaded.name} knows {known:,} tokens and its tokenizer makes token {largest:,}: they do not "
            "belong together. Take the tokenizer that the model was trained with."
        )
    longest = max(map(len, prompts))
    window = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if window and longest + new > window:
        text = (
            f"With prompts of up to {longest:,} tokens and {new:,} new ones a completion can "
            f"leave the {window:,} positions that {loaded.name} was made for; lower {max_new_tokens}"
        )
        if table_positions(loaded.model):
            raise UserError(f"{text} to {window - longest:,} or less, or drop the longest problems.")
        warn(f"{text}.")
    return longest


def check_max_length(longest: int, config: Config, key: str) -> None:
    """Refuse to cut sequences within their prompts: nothing would be learnt from them.

    Args:
        longest: tokens of the longest prompt.
        config: of the command.
        key: its key of the tokens that training keeps of a sequence.

    Raises:
        UserError: a prompt is as long as that.
    """
    if longest >= (kept := config.value(key)):
        raise UserError(
            f"{key} = {kept:,} leaves nothing of the completions of a prompt of "
            f"{longest:,} tokens: raise it, or drop the longest problems."
        )
