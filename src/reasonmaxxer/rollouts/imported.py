"""Rollouts sampled elsewhere, read from JSON Lines: our own keys, or data sets in the formats of TRL."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.config import PromptStyle
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.problems.files import read_json_lines
from reasonmaxxer.problems.prompts import TEXT_STYLES
from reasonmaxxer.problems.text import normalise
from reasonmaxxer.rollouts.sampler import Grader, graded
from reasonmaxxer.rollouts.table import Rollout


def import_rollouts(
    path: Path,
    problems: Sequence[Problem],
    verifier: Grader,
    tokenizer: Any,
    *,
    prompt_style: PromptStyle,
    eos_ids: Sequence[int],
) -> list[Rollout]:
    """Read rollouts sampled elsewhere and grade them; their entropies are scored later.

    Each line is a JSON object that names its problem by `problem_id`, or by `prompt`: the problem's text,
    that text in the prompt style, or messages of which the last is it. The completion is
    `completion_ids` (kept as they are) or `completion` (text, or one assistant message; tokenised once, an
    end-of-sequence token added unless `finish_reason` is `length`). `prompt_ids`, `finish_reason`,
    `engine` and `engine_version` are optional; other keys, such as TRL's `label`, are not read: the
    verifier grades anew.

    Raises:
        UserError: an unreadable line, a missing key, a value of another type, or a problem that is not in
            `problems`.
    """
    known = {problem.id: problem for problem in problems}
    by_prompt = _by_prompt(problems, prompt_style, tokenizer)
    counts: Counter[str] = Counter()
    rollouts = []
    check_imported(str(path))
    for where, value in read_json_lines(path):
        row = _row(value, where)
        problem = known[_problem_id(row, known, by_prompt, where)]
        ids, reason = _completion(row, tokenizer, eos_ids, where)
        prompt_ids = _ids(row, "prompt_ids", where)
        prompt_ids = prompt_ids or render_prompt(prompt_style, problem.text, tokenizer)
        _check_ids([*prompt_ids, *ids], len(tokenizer), where)
        rollouts.append(
            Rollout(
                problem_id=problem.id,
                rollout=counts[problem.id],
                seed=0,
                prompt_ids=prompt_ids,
                completion_ids=ids,
                text=tokenizer.decode(ids, skip_special_tokens=True),
                finish_reason=reason,
                engine=str(row.get("engine", "imported")),
                engine_version=str(row.get("engine_version", "")),
            )
        )
        counts[problem.id] += 1
    if not rollouts:
        raise UserError(f"rollouts.imported: {path} is empty; name a file that holds rollouts.")
    return graded(rollouts, known, verifier)


def check_imported(path: str | None) -> None:
    """Refuse a file that is not there, before long work starts.

    Raises:
        UserError: it says so.
    """
    if path and not Path(path).is_file():
        raise UserError(f"rollouts.imported: there is no file {path}.")


def _by_prompt(problems: Sequence[Problem], style: PromptStyle, tokenizer: Any) -> dict[str, str]:
    """Ids by what a prompt may say: the problem alone, or as its style renders it."""

    def rendered(text: str) -> str:
        if style in TEXT_STYLES:  # without the special tokens around it
            return text.join(TEXT_STYLES[style])
        return str(tokenizer.decode(render_prompt(style, text, tokenizer)))

    return {normalise(text): problem.id for problem in problems for text in (problem.text, rendered(problem.text))}


def _row(row: dict[str, Any], where: str) -> dict[str, Any]:
    if not row.keys() & {"problem_id", "prompt"}:
        raise UserError(f"{where} needs an object with 'problem_id' or 'prompt'.")
    if "chosen" in row:
        raise UserError(
            f"{where} is a pair of the preference format, in which one completion may stand in several "
            "pairs. Import the unpaired-preference or prompt-completion format."
        )
    return row


def _problem_id(row: dict[str, Any], known: dict[str, Problem], by_prompt: dict[str, str], where: str) -> str:
    if "problem_id" in row:
        id: str | None = str(row["problem_id"])  # ids of a problem file may be numbers, too
        name = f"problem '{id}'"
    else:
        prompt = _text(row["prompt"], "user")
        id = by_prompt.get(normalise(prompt)) if prompt else None
        name = f"the problem of prompt {prompt!r:.80}"
    if id is None or id not in known:
        raise UserError(
            f"{where}: {name} is not among the {len(known)} training problems; import rollouts of the "
            "problems the recipe names."
        )
    return id


def _completion(row: dict[str, Any], tokenizer: Any, eos_ids: Sequence[int], where: str) -> tuple[list[int], str]:
    """Token ids and how they ended."""
    reason = row.get("finish_reason")
    if not isinstance(reason, str | None):
        raise UserError(f"{where}: 'finish_reason' must be text such as 'length', not {reason!r:.80}.")
    if given := _ids(row, "completion_ids", where):
        return given, reason or ("stop" if given[-1] in eos_ids else "length")
    text = _text(row.get("completion"), "assistant")
    if text is None:
        raise UserError(
            f"{where} needs 'completion' (text, or one assistant message) or 'completion_ids' (a list of ids)."
        )
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    reason = reason or "stop"
    ended = reason == "length" or (ids and ids[-1] in eos_ids)
    if ended and not ids:
        raise UserError(f"{where}: a completion cut at the length limit cannot be empty; drop it.")
    return (ids if ended else [*ids, tokenizer.eos_token_id]), reason


def _ids(row: dict[str, Any], name: str, where: str) -> list[int] | None:
    """Token ids; None where there are none."""
    ids = row.get(name)
    if ids is not None and not (isinstance(ids, list) and all(type(i) is int for i in ids)):
        raise UserError(f"{where}: '{name}' must be a list of token ids, not {ids!r:.80}.")
    return ids or None


def _text(value: Any, role: str) -> str | None:
    """Text, given as it is or as the last of some messages; None where it is neither."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content") if value[-1].get("role") == role else None
    return value if isinstance(value, str) else None


def _check_ids(ids: Sequence[int], vocabulary: int, where: str) -> None:
    strange = [token for token in ids if not 0 <= token < vocabulary]
    if strange:
        raise UserError(
            f"{where}: token id {strange[0]} is not in the model's vocabulary of {vocabulary}; ids must "
            "come from the same tokenizer, or give the text as 'completion'."
        )
