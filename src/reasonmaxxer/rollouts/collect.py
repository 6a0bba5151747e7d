"""Rollouts of a set of problems: sampled and graded shard by shard, each shard written once.

A shard is a fixed run of problems with all their rollouts. It is the unit of determinism: an engine
given a shard's requests returns the same bytes on the same machine, so a run killed anywhere and
started again ends with the same table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.config import PromptStyle, SamplingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request, rollout_seed
from reasonmaxxer.rollouts.table import Rollout, rollout_table, rollouts_from_table
from reasonmaxxer.verify import Grade

if TYPE_CHECKING:
    from reasonmaxxer.models import LoadedModel  # a table can be read without PyTorch


def check_prompts(
    problems: Sequence[Problem],
    loaded: LoadedModel,
    prompt_style: PromptStyle,
    max_new_tokens: int,
    warn: Callable[[str], None],
) -> int:
    """Refuse problems that a model cannot be asked, before any is answered.

    Args:
        problems: all that will be asked.
        loaded: the model.
        prompt_style: how a problem becomes a prompt.
        max_new_tokens: of a completion.
        warn: told where completions may leave the positions that the model was made for.

    Returns:
        Tokens of the longest prompt.

    Raises:
        UserError: a prompt has tokens that the model does not know, or a completion may come to positions
            that it does not have.
    """
    from reasonmaxxer.models.base import table_positions

    prompts = [render_prompt(prompt_style, p.text, loaded.tokenizer) for p in problems]
    known = len(loaded.model.get_input_embeddings().weight)
    if (largest := max(map(max, prompts))) >= known:
        raise UserError(
            f"{loaded.name} knows {known:,} tokens and its tokenizer makes token {largest:,}: they do not "
            "belong together. Take the tokenizer that the model was trained with."
        )
    longest = max(map(len, prompts))
    config = loaded.model.config.get_text_config()
    window = getattr(config, "max_position_embeddings", None)
    if window and longest + max_new_tokens > window:
        says = (
            f"With prompts of up to {longest:,} tokens and {max_new_tokens:,} new ones a completion can "
            f"leave the {window:,} positions that {loaded.name} was made for; lower max_new_tokens"
        )
        if table_positions(loaded.model):
            raise UserError(f"{says} to {window - longest:,} or less, or drop the longest problems.")
        warn(f"{says}.")
    return longest


def check_max_length(longest: int, max_length: int) -> None:
    """Refuse to cut sequences within their prompts: nothing would be learnt from them.

    Args:
        longest: tokens of the longest prompt.
        max_length: that training keeps of a sequence.

    Raises:
        UserError: a prompt is as long as that.
    """
    if longest >= max_length:
        raise UserError(
            f"max_length = {max_length:,} of the training leaves nothing of the completions of a prompt of "
            f"{longest:,} tokens: raise it, or drop the longest problems."
        )


class Grader(Protocol):
    """Grades completions of problems, in order."""

    def grade(self, items: Sequence[tuple[Problem, str]]) -> list[Grade]:
        """One grade an item."""
        ...


@dataclass(frozen=True)
class _Plan:
    """How problems become requests, and completions rollouts."""

    engine: Engine
    verifier: Grader
    tokenizer: Any
    prompt_style: PromptStyle
    sampling: SamplingConfig
    per_problem: int
    seed: int
    adapter: Path | None

    def requests(self, problems: Sequence[Problem]) -> list[Request]:
        """All of each problem, in order."""
        adapter = str(self.adapter.resolve()) if self.adapter else None
        prompts = [tuple(render_prompt(self.prompt_style, p.text, self.tokenizer)) for p in problems]
        return [
            Request(prompt, rollout_seed(self.seed, problem.id, index), adapter)
            for problem, prompt in zip(problems, prompts, strict=True)
            for index in range(self.per_problem)
        ]

    def graded(
        self, problems: Sequence[Problem], requests: Sequence[Request], made: Sequence[Completion]
    ) -> list[Rollout]:
        """What the engine made of the requests."""
        texts = [self.tokenizer.decode(c.ids, skip_special_tokens=True) for c in made]
        owners = [problem for problem in problems for _ in range(self.per_problem)]
        grades = self.verifier.grade(list(zip(owners, texts, strict=True)))
        settings = json.dumps(self._settings(), sort_keys=True)
        return [
            Rollout(
                problem_id=owner.id,
                rollout=number % self.per_problem,
                seed=request.seed,
                prompt_ids=list(request.prompt_ids),
                completion_ids=completion.ids,
                text=text,
                finish_reason=completion.finish_reason,
                entropy=completion.entropy,
                logprob=completion.logprob,
                outcome=grade.outcome.value,
                extracted=grade.extracted,
                engine=self.engine.name,
                engine_version=self.engine.version,
                engine_settings=settings,
            )
            for number, (owner, request, completion, text, grade) in enumerate(
                zip(owners, requests, made, texts, grades, strict=True)
            )
        ]

    def _settings(self) -> dict[str, Any]:
        sampling = {name: getattr(self.sampling, name) for name in SamplingConfig.model_fields}
        return sampling | self.engine.settings


def sample_rollouts(
    problems: Sequence[Problem],
    engine: Engine,
    verifier: Grader,
    tokenizer: Any,
    *,
    prompt_style: PromptStyle,
    sampling: SamplingConfig,
    per_problem: int,
    seed: int,
    on_tokens: OnTokens | None = None,
) -> list[Rollout]:
    """Sample and grade `per_problem` rollouts of each problem, in order.

    Args:
        problems: what to solve.
        engine: what samples.
        verifier: what grades.
        tokenizer: renders prompts and decodes completions.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        per_problem: rollouts a problem.
        seed: the run's seed; with problem id and index it fixes each rollout's draws.
        on_tokens: called after each step with tokens made and rollouts finished.
    """
    plan = _Plan(engine, verifier, tokenizer, prompt_style, sampling, per_problem, seed, None)
    requests = plan.requests(problems)
    return plan.graded(problems, requests, engine.generate(requests, sampling, on_tokens))


OnShard = Callable[[list[Rollout], Path | None], None]
"""Called with each shard's rollouts, and with the file they are about to be in unless they are there."""


def collect(
    problems: Sequence[Problem],
    folder: Path,
    problems_per_shard: int,
    make: Callable[[Sequence[Sequence[Problem]]], Iterator[tuple[int, list[Rollout]]]],
    on_shard: OnShard | None = None,
) -> list[Rollout]:
    """Make the rollouts of all problems as durable shards in a folder; skip shards already there.

    Args:
        problems: all of them; shards are consecutive slices.
        folder: receives `shard-00000.parquet`, ...
        problems_per_shard: length of a slice.
        make: turns the missing slices into rollouts, with the number of each among them, in any order; each
            is written as soon as it is done.
        on_shard: called with the rollouts of each shard that is there, and of each other one with its path
            just before it is written.
    """
    shards = list(_slices(problems, problems_per_shard))
    paths = [folder / f"shard-{number:05d}.parquet" for number in range(len(shards))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    collected: dict[int, list[Rollout]] = {}

    def keep(number: int) -> None:
        rollouts = collected[number] = rollouts_from_table(read_table(paths[number]))
        answered = list(dict.fromkeys(rollout.problem_id for rollout in rollouts))
        if answered != [problem.id for problem in shards[number]]:
            raise UserError(
                f"{paths[number]} holds completions of other problems, or of another number of them "
                f"(first is {answered[0]}). Choose another folder, or delete that one."
            )

    for number in sorted(set(range(len(shards))) - set(missing)):
        keep(number)
        if on_shard:
            on_shard(collected[number], None)
    for index, rollouts in make([shards[number] for number in missing]):
        path = paths[missing[index]]
        if on_shard:
            on_shard(rollouts, path)
        write_table(rollout_table(rollouts), path)
        keep(missing[index])
    return [rollout for number in range(len(shards)) for rollout in collected[number]]


def collect_samples(
    problems: Sequence[Problem],
    folder: Path,
    rollouts_per_shard: int,
    engine: Engine,
    verifier: Grader,
    tokenizer: Any,
    *,
    prompt_style: PromptStyle,
    sampling: SamplingConfig,
    per_problem: int,
    seed: int,
    adapter: Path | None = None,
    on_tokens: OnTokens | None = None,
    on_shard: OnShard | None = None,
) -> list[Rollout]:
    """`sample_rollouts` of all problems as durable shards.

    Args:
        problems: what to solve.
        folder: receives the shards; those that are there are read, and their rollouts reported as done.
        rollouts_per_shard: at most, but at least those of one problem.
        engine: what samples.
        verifier: what grades.
        tokenizer: renders prompts and decodes completions.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        per_problem: rollouts a problem.
        seed: the run's seed.
        adapter: PEFT folder of what answers beside the base; an engine on a model in memory needs the
            model to carry it.
        on_tokens: called with tokens made and rollouts finished.
        on_shard: called as by `collect`.
    """
    plan = _Plan(engine, verifier, tokenizer, prompt_style, sampling, per_problem, seed, adapter)

    def make(shards: Sequence[Sequence[Problem]]) -> Iterator[tuple[int, list[Rollout]]]:
        requests = [plan.requests(shard) for shard in shards]
        for number, made in engine.generate_shards(requests, sampling, on_tokens):
            yield number, plan.graded(shards[number], requests[number], made)

    def report(rollouts: list[Rollout], path: Path | None) -> None:
        if on_tokens and not path:
            on_tokens(0, len(rollouts))
        if on_shard:
            on_shard(rollouts, path)

    return collect(problems, folder, max(1, rollouts_per_shard // per_problem), make, report)


def read_rollouts(folder: Path) -> list[Rollout]:
    """All shards of a folder, in order."""
    paths = sorted(folder.glob("shard-*.parquet"))
    return [rollout for path in paths for rollout in rollouts_from_table(read_table(path))]


def read_columns(folder: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some columns of all shards of a folder, in order: what needs no tokens reads none."""
    paths = sorted(folder.glob("shard-*.parquet"))
    return [row for path in paths for row in read_table(path, columns).to_pylist()]


def _slices(problems: Sequence[Problem], size: int) -> Iterator[Sequence[Problem]]:
    return (problems[start : start + size] for start in range(0, len(problems), size))
