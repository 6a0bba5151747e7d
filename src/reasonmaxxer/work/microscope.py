"""The microscope's commands: each reads a base and what was tuned from it, and fills a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.config import DistillationConfig, InterveneConfig, MicroscopeConfig, OverlapConfig
from reasonmaxxer.microscope.diff import compare_durably, mentioned_ids
from reasonmaxxer.microscope.effects import Effects
from reasonmaxxer.microscope.interventions import DEFAULT, Outputs, intervene_durably, policies_of, reference_of
from reasonmaxxer.microscope.overlap import read_trio, summarise_overlap
from reasonmaxxer.microscope.pair import ARMS, Arm, Pair, open_pair
from reasonmaxxer.microscope.policies import Policy
from reasonmaxxer.microscope.search import LEVELS, SEARCH, fewest_edits
from reasonmaxxer.microscope.summary import summarise
from reasonmaxxer.microscope.texts import given_answers, greedy_answers, microscope_problems
from reasonmaxxer.microscope.vocabulary import pieces_table, texts_of
from reasonmaxxer.models.files import files_behind
from reasonmaxxer.problems import Problem, problems_table
from reasonmaxxer.report.page import write_report
from reasonmaxxer.rollouts.limits import check_prompts
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.verify import graded_by
from reasonmaxxer.work import distillation
from reasonmaxxer.work.command_folder import PROBLEMS, claimed, refuse_other_problems
from reasonmaxxer.work.progress import Display

SUMMARY = "summary.json"
SCHEMA = 1

Answers = dict[Arm, list[Rollout]]
"""Greedy answers of both models, one a problem."""


def diff(config: MicroscopeConfig, out: Path, display: Display, trust_remote_code: bool = False) -> dict[str, Any]:
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
    with _opened("diff", config, out, display, trust_remote_code) as work:
        table = work.compared(work.texts(), "positions", "reading both models")
        vocabulary = work.keep_vocabulary(mentioned_ids(table))
        return work.finish(summarise(table, texts_of(vocabulary), config), work.pair)


def intervene(config: InterveneConfig, out: Path, display: Display, trust_remote_code: bool = False) -> dict[str, Any]:
    """Put tokens of one model into the other's text while it decodes, and grade what becomes of it.

    Args:
        config: models, problems and policies.
        out: folder to fill; the same config again goes on where it stopped, also with other policies.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: bad input, seen before any long work starts.
    """
    asked = config.policies or DEFAULT
    named = policies_of([text for text in asked if text != SEARCH])
    with _opened("intervene", config, out, display, trust_remote_code) as work:
        answers: Answers = {arm: work.answers(arm) for arm in ARMS}
        outputs = work.outputs(work.with_references(named, answers))
        found = Effects(answers["base"], answers["tuned"], config).summary(outputs)
        fewest = work.fewest(answers) if SEARCH in asked else None
        work.keep_vocabulary(_ids_in(answers, outputs))
        summary = {"problems": len(work.problems), **found, "fewest": fewest}
        return work.finish(summary, work.pair)


def overlap(config: OverlapConfig, out: Path, display: Display, trust_remote_code: bool = False) -> dict[str, Any]:
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
    with _opened("overlap", config, out, display, trust_remote_code) as work:
        pairs = (work.pair, work.pair.beside(config.tuned[1], config.base, trust_remote_code))
        rollouts = work.answers("base")
        reading = display.task("reading three models", 3 * len(rollouts))
        with pairs[1].at_work(), reading as task:
            trio = read_trio(pairs, rollouts, work.pair.base.tokenizer, lambda tokens: task.advance(1, tokens))
        return work.finish(summarise_overlap(trio, config), *pairs)


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
    summary = distillation.distill(config, out, display, trust_remote_code)
    write_report(out)
    return summary


@dataclass(frozen=True)
class _Work:
    """One command at work: its folder, its problems and its models."""

    command: str
    config: MicroscopeConfig
    out: Path
    display: Display
    problems: list[Problem]
    pair: Pair

    def texts(self) -> list[Rollout]:
        """What `diff` reads."""
        if self.config.text in ARMS:
            return self.answers("base" if self.config.text == "base" else "tuned")
        rollouts = given_answers(self.pair, self.problems, self.config)
        write_table(rollout_table(rollouts), self.out / "given" / "shard-00000.parquet")
        return rollouts

    def answers(self, arm: Arm) -> list[Rollout]:
        """Greedy answers of one model."""
        with self.display.task(f"greedy, {arm}", len(self.problems)) as task:
            folder = self.out / f"{arm}-greedy"
            return greedy_answers(self.pair, arm, self.problems, self.config, folder, task.on_tokens)

    def compared(self, rollouts: Sequence[Rollout], folder: str, label: str) -> pa.Table:
        """Texts under both models."""
        with self.display.task(label, 2 * len(rollouts)) as task:
            return compare_durably(self.pair, rollouts, self.out / folder, lambda tokens: task.advance(1, tokens))

    def with_references(self, policies: Sequence[Policy], answers: Answers) -> list[Policy]:
        """Policies with what they take from the donors' own answers, which is read once each."""
        references = {
            donor: reference_of(self.compared(answers[donor], f"{donor}-positions", f"edits of {donor}"))
            for donor in dict.fromkeys(p.donor for p in policies if p.needs_reference)
        }
        return [replace(p, reference=references[p.donor]) if p.needs_reference else p for p in policies]

    def outputs(self, policies: Sequence[Policy]) -> list[Outputs]:
        """Answers under all policies."""
        if not policies:
            return []
        with self.display.task("interventions", len(policies) * len(self.problems)) as task:
            return intervene_durably(
                self.pair, policies, self.problems, self.config, self.out / "outputs", task.on_tokens
            )

    def fewest(self, answers: Answers) -> dict[str, Any]:
        """The search for the fewest edits, done once a folder."""
        path = self.out / "fewest.json"
        if not path.exists():
            with self.display.task("fewest edits", 2 * LEVELS) as task:
                found = fewest_edits(
                    self.pair,
                    self.problems,
                    answers["base"],
                    answers["tuned"],
                    self.config,
                    self.out / "search",
                    lambda: task.advance(1),
                )
            write_json(self._spelled(found), path)
        fewest: dict[str, Any] = read_json(path)
        return fewest

    def _spelled(self, fewest: dict[str, Any]) -> dict[str, Any]:
        """A search whose tokens are there as text, too."""
        rows, ends = fewest["problems"], ("from", "to")
        ids = {id for row in rows for end in ends for id in row[f"{end}_ids"]}
        text = texts_of(pieces_table(ids, self.pair.base.tokenizer))
        spelled = [{**row, **{end: [text[id] for id in row[f"{end}_ids"]] for end in ends}} for row in rows]
        return {**fewest, "problems": spelled}

    def keep_vocabulary(self, ids: Iterable[int]) -> pa.Table:
        """Write the bytes of every token that the page shows."""
        vocabulary = pieces_table(ids, self.pair.base.tokenizer)
        write_table(vocabulary, self.out / "vocabulary.parquet")
        return vocabulary

    def finish(self, found: dict[str, Any], *pairs: Pair) -> dict[str, Any]:
        """Keep the figures, with what was compared and how, and draw their page."""
        tuned = [pair.tuned.identity for pair in pairs]
        config = self.config
        summary = {
            "schema": SCHEMA,
            "command": self.command,
            "base": self.pair.base.identity,
            "tuned": tuned[0] if len(tuned) == 1 else tuned,
            "protocol": {
                "prompt_style": config.prompt_style,
                "extraction": graded_by(config.verify, config.prompt_style),
                "text": config.text,
                "max_new_tokens": config.max_new_tokens,
                "source": config.problems.source,
                "split": config.problems.split,
                "seed": config.seed,
                "confidence": config.confidence,
            },
            **found,
        }
        write_json(summary, self.out / SUMMARY)
        write_report(self.out)
        return summary


@contextmanager
def _opened(
    command: str, config: MicroscopeConfig, out: Path, display: Display, trust_remote_code: bool
) -> Iterator[_Work]:
    """Read the problems, take the folder, load the models."""
    problems = microscope_problems(config)
    models = files_behind(config.base.name, *config.tuned)
    with claimed(out, command, config, config.verify.file, config.text, *models):
        refuse_other_problems(out, PROBLEMS, problems)
        write_table(problems_table(problems), out / PROBLEMS)
        pair = open_pair(config.base, config.tuned[0], trust_remote_code)
        turns = ", one at a time" if pair.in_turn else ""
        names = f"{pair.base.name} and {pair.tuned.name}"
        display.note(f"{names}, {pair.base.model.dtype} on {pair.device}{turns}")
        style, limit = config.prompt_style, config.max_new_tokens
        check_prompts(problems, pair.base, style, limit, display.warn)
        with pair.at_work():
            yield _Work(command, config, out, display, problems, pair)


def _ids_in(answers: Answers, outputs: Sequence[Outputs]) -> Iterator[int]:
    """Tokens of all answers, and those that edits took the place of."""
    for rollouts in (*answers.values(), *(made.rollouts for made in outputs)):
        for rollout in rollouts:
            yield from rollout.completion_ids
    for made in outputs:
        yield from made.edits["host_id"].to_pylist()
