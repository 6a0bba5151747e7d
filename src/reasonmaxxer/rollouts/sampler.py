"""From problems to graded rollouts: requests, an engine's completions, grades, rows of the rollout table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from reasonmaxxer.config import PromptStyle, SamplingConfig
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request, rollout_seed
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Grade


class Grader(Protocol):
    """Grades completions of problems, in order."""

    def grade(self, items: Sequence[tuple[Problem, str]]) -> list[Grade]:
        """One grade an item."""
        ...


def graded(rollouts: Sequence[Rollout], problems: Mapping[str, Problem], verifier: Grader) -> list[Rollout]:
    """The same rollouts with the verifier's outcomes and the answers it read.

    Args:
        rollouts: any, in order.
        problems: theirs, by id.
        verifier: what grades.
    """
    grades = verifier.grade([(problems[rollout.problem_id], rollout.text) for rollout in rollouts])
    return [
        replace(rollout, outcome=grade.outcome.value, extracted=grade.extracted, detail=grade.detail)
        for rollout, grade in zip(rollouts, grades, strict=True)
    ]


@dataclass(frozen=True)
class Sampler:
    """Samples and grades a number of rollouts of each problem.

    Attributes:
        engine: what samples.
        verifier: what grades.
        tokenizer: renders prompts and decodes completions.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        per_problem: rollouts a problem.
        seed: the run's seed; with problem id and index it fixes each rollout's draws.
        adapter: PEFT folder of what answers beside the base; an engine on a model in memory needs the model
            to carry it.
    """

    engine: Engine
    verifier: Grader
    tokenizer: Any
    _: KW_ONLY
    prompt_style: PromptStyle
    sampling: SamplingConfig
    per_problem: int
    seed: int
    adapter: Path | None = None

    def sample(self, problems: Sequence[Problem], on_tokens: OnTokens | None = None) -> list[Rollout]:
        """All rollouts of some problems, in order; `on_tokens` is told of progress as by `Engine.generate`."""
        requests = self._requests(problems)
        return self._rollouts(problems, requests, self.engine.generate(requests, self.sampling, on_tokens))

    def sample_shards(
        self, shards: Sequence[Sequence[Problem]], on_tokens: OnTokens | None = None
    ) -> Iterator[tuple[int, list[Rollout]]]:
        """Each shard's number and rollouts, in the order in which the engine finishes them."""
        requests = [self._requests(shard) for shard in shards]
        for number, completions in self.engine.generate_shards(requests, self.sampling, on_tokens):
            yield number, self._rollouts(shards[number], requests[number], completions)

    def _requests(self, problems: Sequence[Problem]) -> list[Request]:
        adapter = str(self.adapter.resolve()) if self.adapter else None
        prompts = [tuple(render_prompt(self.prompt_style, p.text, self.tokenizer)) for p in problems]
        return [
            Request(prompt, rollout_seed(self.seed, problem.id, index), adapter)
            for problem, prompt in zip(problems, prompts, strict=True)
            for index in range(self.per_problem)
        ]

    def _rollouts(
        self, problems: Sequence[Problem], requests: Sequence[Request], completions: Sequence[Completion]
    ) -> list[Rollout]:
        sampling = {name: getattr(self.sampling, name) for name in SamplingConfig.model_fields}
        settings = json.dumps(sampling | self.engine.settings, sort_keys=True)
        rollouts = [
            Rollout(
                problem_id=problems[number // self.per_problem].id,
                rollout=number % self.per_problem,
                seed=request.seed,
                prompt_ids=list(request.prompt_ids),
                completion_ids=completion.ids,
                text=self.tokenizer.decode(completion.ids, skip_special_tokens=True),
                finish_reason=completion.finish_reason,
                entropy=completion.entropy,
                logprob=completion.logprob,
                engine=self.engine.name,
                engine_version=self.engine.version,
                engine_settings=settings,
            )
            for number, (request, completion) in enumerate(zip(requests, completions, strict=True))
        ]
        return graded(rollouts, {problem.id: problem for problem in problems}, self.verifier)
