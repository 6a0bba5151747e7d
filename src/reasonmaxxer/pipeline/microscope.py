"""The microscope's commands: each reads a base and what was tuned from it, and fills a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.config import DistillationConfig, MicroscopeConfig
from reasonmaxxer.divergence.diff import compare_durably, mentioned_ids, vocabulary_of
from reasonmaxxer.divergence.distillation import run as distillation
from reasonmaxxer.divergence.effects import Effects
from reasonmaxxer.divergence.folder import claimed
from reasonmaxxer.divergence.inspection import VOCABULARY
from reasonmaxxer.divergence.interventions import (
    Outputs,
    intervene_durably,
    policies_of,
    reference_of,
)
from reasonmaxxer.divergence.overlap import read_trio, summarise_overlap, token_class
from reasonmaxxer.divergence.pair import ARMS, Arm, Pair, open_pair
from reasonmaxxer.divergence.policies import Policy, folder_name
from reasonmaxxer.divergence.search import LEVELS, fewest_edits
from reasonmaxxer.divergence.summary import summarise
from reasonmaxxer.divergence.texts import given_answers, greedy_answers, microscope_problems
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.report.microscope.page import write_page
from reasonmaxxer.report.progress import Display
from reasonmaxxer.rollouts.table import Rollout, rollout_table

SUMMARY = "summary.json"


def diff(
    config: MicroscopeConfig, out: Path, display: Display, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Compare a base with one tuned model token by token.

    Args:
        config: models, problems and whose answers are read.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    with _claimed("diff", config, out) as problems:
        pair = _open(config, config.tuned[0], display, trust_remote_code)
        rollouts = _texts(pair, problems, config, out, display)
        with display.task("reading both models", 2 * len(rollouts)) as task:
            table = compare_durably(
                pair, rollouts, out / "positions", lambda tokens: task.advance(1, tokens)
            )
        pieces = _write_vocabulary(table, pair, out)
        summary = {**_identity("diff", config, pair), **summarise(table, pieces, config)}
        return _finish(summary, out)


def intervene(
    config: MicroscopeConfig,
    out: Path,
    display: Display,
    trust_remote_code: bool = False,
    policies: Sequence[str] = (),
) -> dict[str, Any]:
    """Put tokens of one model into the other's text while it decodes, and grade what becomes of it.

    Args:
        config: models and problems.
        out: folder to fill; the same config again goes on where it stopped, also with other policies.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.
        policies: as `parse_policy` reads them; none is the default set.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    asked = policies_of(policies)
    with _claimed("intervene", config, out) as problems:
        pair = _open(config, config.tuned[0], display, trust_remote_code)
        answers = {arm: _answers(pair, arm, problems, config, out, display) for arm in ARMS}
        outputs = [
            _outputs(pair, policy, problems, config, out, display)
            for policy in _with_references(pair, asked, answers, out, display)
        ]
        found = Effects(answers["base"], answers["tuned"], config).summary(outputs)
        fewest = _fewest(pair, problems, answers, config, out, display)
        _write_texts_vocabulary(answers, outputs, pair, out)
        summary = {
            **_identity("intervene", config, pair),
            "problems": len(problems),
            **found,
            "fewest": fewest,
        }
        return _finish(summary, out)


def _with_references(
    pair: Pair,
    policies: Sequence[Policy],
    answers: dict[Arm, list[Rollout]],
    out: Path,
    display: Display,
) -> list[Policy]:
    """Policies with what they take from the donors' own answers, which is read once each."""
    references = {}
    for donor in dict.fromkeys(p.donor for p in policies if p.needs_reference):
        rollouts = answers[donor]
        with display.task(f"edits of {donor}", 2 * len(rollouts)) as task:
            table = compare_durably(
                pair,
                rollouts,
                out / f"{donor}-positions",
                lambda tokens, task=task: task.advance(1, tokens),  # type: ignore[misc]
            )
        references[donor] = reference_of(table)
    return [
        replace(policy, reference=references[policy.donor]) if policy.needs_reference else policy
        for policy in policies
    ]


def _outputs(
    pair: Pair,
    policy: Policy,
    problems: Sequence[Problem],
    config: MicroscopeConfig,
    out: Path,
    display: Display,
) -> Outputs:
    folder = out / "outputs" / folder_name(policy.spelling)
    with display.task(policy.spelling, len(problems)) as task:
        return intervene_durably(pair, policy, problems, config, folder, task.on_tokens)


def _fewest(
    pair: Pair,
    problems: Sequence[Problem],
    answers: dict[Arm, list[Rollout]],
    config: MicroscopeConfig,
    out: Path,
    display: Display,
) -> dict[str, Any]:
    """The search for the fewest edits, done once a folder."""
    path = out / "fewest.json"
    if not path.exists():
        with display.task("fewest edits", LEVELS) as task:
            found = fewest_edits(
                pair,
                problems,
                answers["base"],
                answers["tuned"],
                config,
                lambda level: task.advance(level - 1 - task.done),
            )
            task.advance(LEVELS - task.done)
        write_json(_spelled(found, pair), path)
    fewest: dict[str, Any] = read_json(path)
    return fewest


def _spelled(fewest: dict[str, Any], pair: Pair) -> dict[str, Any]:
    """The tokens of a search as text, too."""

    def text(ids: list[int]) -> list[str]:
        return [
            piece["piece"].decode("utf-8", errors="replace")
            for id in ids
            for piece in vocabulary_of([id], pair.base.tokenizer)
        ]

    problems = [
        {**row, "from": text(row["from_ids"]), "to": text(row["to_ids"])}
        for row in fewest["problems"]
    ]
    return {**fewest, "problems": problems}


def overlap(
    config: MicroscopeConfig, out: Path, display: Display, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Hold the edits of two tuned models of one base against each other.

    Args:
        config: models, two of them tuned, and problems.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    with _claimed("overlap", config, out) as problems:
        first = _open(config, config.tuned[0], display, trust_remote_code)
        second = first.beside(config.tuned[1], config.base, trust_remote_code)
        rollouts = _answers(first, "base", problems, config, out, display)
        tokenizer = first.base.tokenizer

        def class_of(id: int) -> int:
            row = vocabulary_of([id], tokenizer)[0]
            return token_class(row["piece"], row["special"])

        with display.task("reading three models", 3 * len(rollouts)) as task:
            trio = read_trio(
                (first, second), rollouts, cache(class_of), lambda tokens: task.advance(1, tokens)
            )
        summary = {**_identity("overlap", config, first, second), **summarise_overlap(trio, config)}
        return _finish(summary, out)


def distill(
    config: DistillationConfig, out: Path, display: Display, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Distil a teacher into small adapters of its base, and draw what they kept of it.

    Args:
        config: models, problems and the adapters' shapes.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    summary = distillation.distill(
        config, out, display=display, trust_remote_code=trust_remote_code
    )
    write_page(out)
    return summary


@contextmanager
def _claimed(command: str, config: MicroscopeConfig, out: Path) -> Iterator[list[Problem]]:
    """Read the problems, take the folder, keep the problems there."""
    problems = microscope_problems(config)
    with claimed(out, command, config):
        write_table(problems_table(problems), out / "problems.parquet")
        yield problems


def _finish(summary: dict[str, Any], out: Path) -> dict[str, Any]:
    """Keep the figures and draw their page."""
    write_json(summary, out / SUMMARY)
    write_page(out)
    return summary


def _open(config: MicroscopeConfig, tuned: str, display: Display, trust_remote_code: bool) -> Pair:
    pair = open_pair(config.base, tuned, trust_remote_code)
    model = pair.base.model
    turns = ", one at a time" if pair.in_turn else ""
    display.note(f"{pair.base.name} and {pair.tuned.name}, {model.dtype} on {pair.device}{turns}")
    return pair


def _texts(
    pair: Pair, problems: Sequence[Problem], config: MicroscopeConfig, out: Path, display: Display
) -> list[Rollout]:
    if config.text in ("base", "tuned"):
        arm: Arm = "base" if config.text == "base" else "tuned"
        return _answers(pair, arm, problems, config, out, display)
    rollouts = given_answers(pair, problems, config)
    write_table(rollout_table(rollouts), out / "given" / "shard-00000.parquet")
    return rollouts


def _answers(
    pair: Pair,
    arm: Arm,
    problems: Sequence[Problem],
    config: MicroscopeConfig,
    out: Path,
    display: Display,
) -> list[Rollout]:
    with display.task(f"greedy, {arm}", len(problems)) as task:
        return greedy_answers(pair, arm, problems, config, out / f"{arm}-greedy", task.on_tokens)


def _write_vocabulary(table: pa.Table, pair: Pair, out: Path) -> dict[int, str]:
    """Keep the bytes of every token that a table mentions; their text."""
    rows = vocabulary_of(mentioned_ids(table), pair.base.tokenizer)
    write_table(pa.Table.from_pylist(rows, schema=VOCABULARY), out / "vocabulary.parquet")
    return {row["id"]: row["piece"].decode("utf-8", errors="replace") for row in rows}


def _write_texts_vocabulary(
    answers: dict[Arm, list[Rollout]], outputs: Sequence[Outputs], pair: Pair, out: Path
) -> None:
    """Keep the bytes of every token in any answer, and of those that edits took the place of."""
    texts = [*answers.values(), *(made.rollouts for made in outputs)]
    ids = {id for rollouts in texts for rollout in rollouts for id in rollout.completion_ids}
    for made in outputs:
        ids.update(made.edits["host_id"].to_pylist())
    rows = vocabulary_of(ids, pair.base.tokenizer)
    write_table(pa.Table.from_pylist(rows, schema=VOCABULARY), out / "vocabulary.parquet")


def _identity(command: str, config: MicroscopeConfig, *pairs: Pair) -> dict[str, Any]:
    """What was compared, and how."""
    return {
        "command": command,
        "base": pairs[0].base.identity,
        "tuned": [pair.tuned.identity for pair in pairs]
        if len(pairs) > 1
        else pairs[0].tuned.identity,
        "protocol": {
            "prompt_style": config.prompt_style,
            "text": config.text,
            "max_new_tokens": config.max_new_tokens,
            "source": config.problems.source,
            "split": config.problems.split,
            "seed": config.seed,
            "confidence": config.confidence,
        },
    }
