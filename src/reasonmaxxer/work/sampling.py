"""Answers of a model to problems, in every command alike: durable, graded, counted by the stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.config import PromptStyle, SamplingConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.sampler import Grader, Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.stage_work import StageWork


@dataclass(frozen=True)
class Respondent:
    """A model that is asked, as it stands.

    Attributes:
        engine: what samples it.
        flops: of it, by formula.
        tokenizer: renders prompts and decodes completions.
        adapter: PEFT folder of the adapter that it carries, for an engine elsewhere.
    """

    engine: Engine
    flops: ModelFlops
    tokenizer: Any
    adapter: Path | None = None


@dataclass(frozen=True)
class Examiner:
    """How a command asks problems, whichever model answers.

    Attributes:
        verifier: what grades.
        prompt_style: how a problem becomes a prompt.
        seed: of the command.
        per_shard: rollouts written at once.
    """

    verifier: Grader
    prompt_style: PromptStyle
    seed: int
    per_shard: int

    def ask(
        self,
        respondent: Respondent,
        problems: Sequence[Problem],
        sampling: SamplingConfig,
        per_problem: int,
        work: StageWork,
        folder: Path,
        task: Task,
        on_rollouts: Callable[[list[Rollout]], None] | None = None,
    ) -> list[Rollout]:
        """Graded rollouts as durable shards; the stage's meter counts those that are not there yet.

        Args:
            respondent: what answers.
            problems: what is asked.
            sampling: temperature, top-p and length.
            per_problem: rollouts of each.
            work: the stage.
            folder: receives the shards; within the stage's.
            task: the progress bar.
            on_rollouts: called with the rollouts of each shard.
        """
        tokens_at_work, finished = 0, 0
        work.expect(folder, len(problems) * per_problem)

        def on_tokens(tokens: int, done: int) -> None:
            nonlocal tokens_at_work, finished
            tokens_at_work, finished = tokens_at_work + tokens, finished + done
            task.advance(done, tokens)
            work.tell(folder, finished, tokens_at_work)

        def on_shard(rollouts: list[Rollout], path: Path | None) -> None:
            nonlocal tokens_at_work
            tokens_at_work = 0
            if on_rollouts:
                on_rollouts(rollouts)
            if path:
                sampled = respondent.engine.sampled()
                tokens = sum(n for _, n in sampled) or sum(len(r.completion_ids) for r in rollouts)
                work.meter.add(tokens=tokens, flops=respondent.flops.rollouts(rollouts, sampled))
                work.save_cost(path)

        sampler = Sampler(
            respondent.engine,
            self.verifier,
            respondent.tokenizer,
            prompt_style=self.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=self.seed,
            adapter=respondent.adapter,
        )
        return collect(problems, folder, self.per_shard, sampler, on_tokens=on_tokens, on_shard=on_shard)


def greedily(config: SamplingConfig) -> SamplingConfig:
    """The same decoding without chance."""
    return config.model_copy(update={"temperature": 0.0})


def count_scored(work: StageWork, flops: ModelFlops, task: Task) -> Callable[[int], None]:
    """What to call with the tokens of each sequence that a model has scored at every position."""

    def on_scored(tokens: int) -> None:
        work.meter.add(tokens=tokens, flops=flops.hidden(tokens) + flops.logits(tokens))
        task.advance(1, tokens)

    return on_scored


def tokens_and_flops_read(flops: ModelFlops, rollouts: Sequence[Rollout], models: int) -> tuple[int, float]:
    """Tokens and FLOPs of reading prompts and completions once by each of some models alike.

    Args:
        flops: of one of the models; logits are formed at completion tokens.
        rollouts: what is read.
        models: how many read it.
    """
    lengths = [(len(r.prompt_ids) + len(r.completion_ids), len(r.completion_ids)) for r in rollouts]
    total = sum(flops.hidden(length) + flops.logits(completion) for length, completion in lengths)
    return models * sum(length for length, _ in lengths), models * total


def count_all(work: StageWork, tokens: int, flops: float) -> None:
    """Count what a stage holds in all, at its end; what earlier attempts have counted is in it."""
    spent = work.spent
    work.meter.add(tokens=tokens - (spent.tokens if spent else 0), flops=flops - (spent.flops if spent else 0.0))
