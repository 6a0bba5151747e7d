"""What a plan takes for granted: lengths and decision points that only the run itself will tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reasonmaxxer.config import GateConfig, Recipe, SourceConfig
from reasonmaxxer.cost.planning.shapes import assumed_completion
from reasonmaxxer.models.embedded import EMBEDDED, cache_path
from reasonmaxxer.problems import load_problems
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.problems.files import is_file_source
from reasonmaxxer.problems.gym import PREFIX
from reasonmaxxer.problems.prompts import render_prompt
from reasonmaxxer.problems.word_problems import DOMAIN

PROMPT_TOKENS = 110
"""Tokens of a prompt whose tokenizer or problems are not at hand, as of MATH in the paper's styles."""

DECISION_SHARE = 0.05
"""Share of completion positions above a threshold; the paper has 0.02 to 0.09."""

LOOKED_AT = 100
"""Problems whose prompts are counted."""


@dataclass(frozen=True)
class Assumptions:
    """What only the run itself will tell.

    Attributes:
        prompt_tokens: mean length of a prompt.
        mean_tokens: mean length of a completion.
        decision_share: of completion positions, above the gate.
    """

    prompt_tokens: int
    mean_tokens: float
    decision_share: float


def assumptions(
    recipe: Recipe, mean_tokens: float | None = None, prompt_tokens: int | None = None
) -> tuple[Assumptions, Assumptions, Assumptions]:
    """With short, middling and long completions; alike where their mean is given.

    Args:
        recipe: what would be run.
        mean_tokens: of a completion; none takes an assumption by model.
        prompt_tokens: of a prompt; none counts those of the problems where tokenizer and problems are here,
            and takes an assumption elsewhere.
    """
    limit = recipe.rollouts.max_new_tokens
    means = (mean_tokens,) * 3 if mean_tokens else assumed_completion(recipe.model, limit)
    prompt = prompt_tokens or _counted(recipe) or PROMPT_TOKENS
    share = _decision_share(recipe.signal.gate)
    low, middling, high = (Assumptions(prompt, mean, share) for mean in means)
    return low, middling, high


def _decision_share(gate: GateConfig) -> float:
    if gate.kind == "threshold":
        return DECISION_SHARE
    return 1.0 if gate.kind == "all" else gate.share


def _counted(recipe: Recipe) -> int | None:
    """Mean tokens of training prompts; None where tokenizer or problems are not on this machine."""
    tokenizer = _tokenizer(recipe.model.name)
    source = recipe.problems.train
    if tokenizer is None or not _here(source):
        return None
    limit = source.limit and min(source.limit, LOOKED_AT)
    drawn = source.model_copy(update={"limit": limit})
    problems = load_problems(drawn, recipe.seed, "problems.train")[:LOOKED_AT]
    style = recipe.problems.prompt_style
    return round(sum(len(render_prompt(style, p.text, tokenizer)) for p in problems) / len(problems))


def _here(source: SourceConfig) -> bool:
    """Whether problems are made, or in a file of this machine."""
    if source.source in CATALOGUE:
        return CATALOGUE[source.source].path() is not None
    made = source.source == DOMAIN or source.source.startswith(PREFIX)
    return made or is_file_source(source.source)


def _tokenizer(name: str) -> Any:
    """Tokenizer of a folder or from a cache; None where it would have to be fetched."""
    from transformers import AutoTokenizer

    path = str(cache_path(name)) if name in EMBEDDED else name
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError):  # not here, which is what is asked
        return None
