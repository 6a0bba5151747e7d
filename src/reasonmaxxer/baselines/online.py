"""Reinforcement learning: GRPO (arXiv 2402.03300) and RLOO (arXiv 2402.14740) through TRL.

TRL has the loss, the advantages and the optimiser. Prompts are rendered, completions sampled and rewards
given here, by what ReasonMaxxer has too, so that neither arm has the better sampler or verifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.baselines.batches import Lengths, lean
from reasonmaxxer.baselines.trl import import_trl
from reasonmaxxer.config import PromptStyle, SamplingConfig, TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.train import OnCheckpoint, fit, trainer_arguments
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.engine import Engine, Request, rollout_seed
from reasonmaxxer.rollouts.sampler import Grader


@dataclass(frozen=True)
class Environment:
    """What the policy acts in.

    Attributes:
        problems: to learn from.
        engine: samples the policy as it stands.
        verifier: the reward, 1 for a correct completion and 0 for every other.
        prompt_style: how a problem becomes a prompt.
        sampling: temperature, top-p and length.
        group: completions a problem and step.
    """

    problems: Sequence[Problem]
    engine: Engine
    verifier: Grader
    prompt_style: PromptStyle
    sampling: SamplingConfig
    group: int


def train_online(
    model: Any,
    tokenizer: Any,
    environment: Environment,
    config: TrainingConfig,
    *,
    seed: int,
    folder: Path,
    events: Path | None = None,
    on_sampled: Callable[[Lengths], None] | None = None,
    on_learnt: Callable[[Lengths], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> list[dict[str, Any]]:
    """Train the model's adapter in place by `config.method`, `grpo` or `rloo`.

    A folder that already holds checkpoints is taken up from the last whole one.

    Args:
        model: with a fresh adapter.
        tokenizer: renders prompts and decodes completions.
        environment: what the policy acts in.
        config: optimiser, steps, checkpoints.
        seed: fixes the order of problems and every draw.
        folder: of the checkpoints.
        events: where TensorBoard's event files go; none is `folder`.
        on_sampled: called with the lengths of each step's completions, one problem's after another, before
            they are learnt from.
        on_learnt: called with the lengths of those that the step learns from.
        on_step: called with the steps done so far.
        on_checkpoint: called with the record of each checkpoint, to be returned.

    Returns:
        One row a step: `step`, `loss`, `grad_norm`, `learning_rate`, `reward` (mean over completions),
        `completion_length`, `entropy` (nats, mean over the micro-batches that teach; none in a step without
        one), and what else TRL logs.

    Raises:
        UserError: fewer problems than a step needs.
        FloatingPointError: the loss is no longer finite.
    """
    each = config.batch_size // environment.group
    if len(environment.problems) < each:
        raise UserError(
            f"A step of {config.method} takes {each} problems (training.batch_size / "
            f"rollouts.rollouts_per_problem), but there are {len(environment.problems)}: raise "
            "problems.train.limit or lower training.batch_size."
        )
    policy = _Policy(environment, tokenizer, seed, on_sampled)
    arguments = trainer_arguments(config, model, config.baseline.steps, seed=seed, folder=folder)
    order = _order(environment.problems, config, each, seed)
    trainer = _trainer(model, policy, config, arguments, order, on_learnt or (lambda lengths: None))
    history = fit(trainer, config, folder, events, on_step, on_checkpoint)
    return [{**row, "completion_length": row["completions/mean_length"]} for row in history]


def _trainer(
    model: Any,
    policy: _Policy,
    config: TrainingConfig,
    arguments: dict[str, Any],
    order: Sequence[str],
    on_learnt: Callable[[Lengths], None],
) -> Any:
    """TRL's trainer of the method, sampling and rewarded by the policy."""
    trl = import_trl()
    from datasets import Dataset

    environment = policy.environment
    arguments = {
        **arguments,
        "max_steps": config.baseline.steps,
        "shuffle_dataset": False,
        "lr_scheduler_type": "constant_with_warmup",  # no step depends on how many there will be
        "num_generations": environment.group,
        "max_completion_length": environment.sampling.max_new_tokens,
        "temperature": environment.sampling.temperature,
        "top_p": environment.sampling.top_p,
        "beta": config.baseline.beta,
    }
    shared = {
        "model": model,
        # TRL hands the prompt on as it is: the id says which problem, and nothing is tokenised twice
        "train_dataset": Dataset.from_list([{"prompt": name} for name in order]),
        "reward_funcs": policy.rewards,
        "processing_class": policy.tokenizer,
    }
    if config.method == "rloo":
        rloo = lean(_rloo_trainer(trl, policy), on_learnt)
        return rloo(args=trl.RLOOConfig(**arguments), **shared)
    share = config.baseline.top_entropy_quantile
    settings = trl.GRPOConfig(**arguments, top_entropy_quantile=share)
    grpo = lean(trl.GRPOTrainer, on_learnt)
    return grpo(args=settings, rollout_func=policy.rollouts, **shared)


def _order(problems: Sequence[Problem], config: TrainingConfig, each: int, seed: int) -> list[str]:
    """Ids of the problems of every step, a fresh permutation each time all have been seen.

    TRL's own order begins anew when a run is taken up after its first epoch; this one is one epoch long.
    """
    random = np.random.Generator(np.random.Philox(seed))
    order: list[str] = []
    while len(order) < config.baseline.steps * each:
        order += [problems[i].id for i in random.permutation(len(problems))]
    return order[: config.baseline.steps * each]


class _Policy:
    """The model as it stands: samples completions of problems, and has them graded."""

    def __init__(
        self, environment: Environment, tokenizer: Any, seed: int, on_sampled: Callable[[Lengths], None] | None
    ) -> None:
        self.environment, self.tokenizer = environment, tokenizer
        self.seed, self.on_sampled = seed, on_sampled
        self.problems = {problem.id: problem for problem in environment.problems}

    def rollouts(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """TRL's `rollout_func`."""
        prompt_ids = self.render(prompts)
        completion_ids, logprobs = self.sample(prompts, prompt_ids, trainer.state.global_step)
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": logprobs}

    def render(self, names: Sequence[str]) -> list[list[int]]:
        """Prompt ids of problems."""
        style = self.environment.prompt_style
        ids = {name: render_prompt(style, self.problems[name].text, self.tokenizer) for name in set(names)}
        return [ids[name] for name in names]

    def sample(
        self, names: Sequence[str], prompt_ids: Sequence[Sequence[int]], step: int
    ) -> tuple[list[list[int]], list[list[float] | None]]:
        """Completions of the problems as named, and log-probabilities of their tokens."""
        seen: Counter[str] = Counter()
        requests = []
        for name, ids in zip(names, prompt_ids, strict=True):
            # a problem comes again in later epochs: its draws differ by the step
            requests.append(Request(tuple(ids), rollout_seed(self.seed, f"{name}@{step}", seen[name])))
            seen[name] += 1
        made = self.environment.engine.generate(requests, self.environment.sampling)
        if self.on_sampled:
            self.on_sampled([(len(r.prompt_ids), len(c.ids)) for r, c in zip(requests, made, strict=True)])
        return [c.ids for c in made], [c.logprob for c in made]

    def rewards(self, prompts: list[str], completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        """TRL's reward function."""
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in completion_ids]
        owners = [self.problems[name] for name in prompts]
        grades = self.environment.verifier.grade(list(zip(owners, texts, strict=True)))
        return [float(grade.outcome.value == "correct") for grade in grades]


def _rloo_trainer(trl: Any, policy: _Policy) -> Any:
    """TRL's RLOO takes no `rollout_func`: the two methods that sample are replaced."""

    class RLOO(trl.RLOOTrainer):  # type: ignore[misc]
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            self._names = prompts
            return policy.render(prompts), None, {}

        def _generate_single_turn(
            self, prompt_ids: list[list[int]], images: None, multimodal_fields: dict[str, Any]
        ) -> list[list[int]]:
            return policy.sample(self._names, prompt_ids, self.state.global_step)[0]

    return RLOO
