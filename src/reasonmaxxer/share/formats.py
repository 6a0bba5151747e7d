"""A run's rollouts as data sets in the formats of TRL, with the token ids beside the text.

https://huggingface.co/docs/trl/dataset_formats. Prompts of chat models are messages, those of the text
styles are text. TRL's trainers tokenise the text again; the ids are those that were sampled.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from reasonmaxxer.artifacts import read_table, write_text
from reasonmaxxer.baselines.offline import Rows, pair_up
from reasonmaxxer.config import PromptStyle
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.problems import problems_from_table
from reasonmaxxer.problems.prompts import TEXT_STYLES, user_message
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.work.folder import open_run

Format = Literal["prompt-completion", "unpaired-preference", "preference"]
FORMATS: tuple[Format, ...] = get_args(Format)
JUDGED = ("correct", "wrong", "unparsed")
"""Outcomes that say something of the completion; `timeout` and `error` are the verifier's own."""


def export(run: Path, form: str, out: Path) -> int:
    """Write the rollouts of a run's training problems as JSON Lines in a format of TRL.

    - `prompt-completion`: the correct rollouts
    - `unpaired-preference`: all that were graded, `label` says whether one is correct
    - `preference`: pairs of a correct and a wrong one of the same problem

    Args:
        run: a run directory whose rollouts are complete.
        form: one of `FORMATS`.
        out: the file.

    Returns:
        Rows written.

    Raises:
        UserError: an unknown format, no rollouts in the run, or none that fit the format.
    """
    if form not in FORMATS:
        raise UserError(f"--format '{form}' is none of {', '.join(FORMATS)}.{did_you_mean(form, FORMATS)}")
    recipe = open_run(run)
    rollouts = read_rollouts(run / "rollouts")
    if not rollouts:
        raise UserError(f"{run} has no rollouts yet, or its method samples while it trains and keeps none.")
    table = read_table(run / "problems" / "train.parquet")
    texts = {problem.id: problem.text for problem in problems_from_table(table)}
    rows = rows_of(rollouts, texts, recipe["problems"]["prompt_style"], form, recipe["seed"])
    if not rows:
        raise UserError(f"{run} has no rollouts that make a row of the {form} format.")
    write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), out)
    return len(rows)


def rows_of(rollouts: Sequence[Rollout], texts: dict[str, str], style: PromptStyle, form: Format, seed: int) -> Rows:
    """Rows of one format; the order is that of the rollouts.

    Args:
        rollouts: graded.
        texts: of their problems, by id.
        style: of the prompts.
        form: the format.
        seed: of which rollouts make a pair.
    """
    judged = [rollout for rollout in rollouts if rollout.outcome in JUDGED]
    make = {"prompt-completion": _correct, "unpaired-preference": _labelled, "preference": _pairs}[form]
    return make(judged, lambda r: _prompt(r, texts, style), style not in TEXT_STYLES, seed)


Prompt = Callable[[Rollout], dict[str, Any]]


def _correct(rollouts: Sequence[Rollout], prompt: Prompt, chat: bool, seed: int) -> Rows:
    return [prompt(r) | _completion(r, chat) for r in rollouts if r.reward]


def _labelled(rollouts: Sequence[Rollout], prompt: Prompt, chat: bool, seed: int) -> Rows:
    return [prompt(r) | _completion(r, chat) | {"label": bool(r.reward)} for r in rollouts]


def _pairs(rollouts: Sequence[Rollout], prompt: Prompt, chat: bool, seed: int) -> Rows:
    groups: dict[str, tuple[list[Rollout], list[Rollout]]] = defaultdict(lambda: ([], []))
    for rollout in rollouts:
        groups[rollout.problem_id][not rollout.reward].append(rollout)
    random = np.random.Generator(np.random.Philox(seed))
    return [
        prompt(a)
        | {
            "chosen": _said(a, chat),
            "rejected": _said(b, chat),
            "chosen_ids": a.completion_ids,
            "rejected_ids": b.completion_ids,
        }
        for right, wrong in groups.values()
        if right and wrong
        for a, b in pair_up(right, wrong, random)
    ]


def _prompt(rollout: Rollout, texts: dict[str, str], style: PromptStyle) -> dict[str, Any]:
    text = texts[rollout.problem_id]
    asked = (
        text.join(TEXT_STYLES[style])
        if style in TEXT_STYLES
        else [{"role": "user", "content": user_message(style, text)}]
    )
    return {"prompt": asked, "problem_id": rollout.problem_id, "prompt_ids": rollout.prompt_ids}


def _completion(rollout: Rollout, chat: bool) -> dict[str, Any]:
    kept = ("completion_ids", "finish_reason", "engine", "engine_version")
    return {"completion": _said(rollout, chat), **{name: getattr(rollout, name) for name in kept}}


def _said(rollout: Rollout, chat: bool) -> Any:
    return [{"role": "assistant", "content": rollout.text}] if chat else rollout.text
