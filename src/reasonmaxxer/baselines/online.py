"""Reinforcement learning: GRPO (arXiv 2402.03300) and RLOO (arXiv 2402.14740) through TRL.

TRL has the loss, the advantages and the optimiser. Prompts are rendered, completions sampled and rewards
given here, by what ReasonMaxxer has too, so that neither arm has the better sampler or verifier.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reasonmaxxer.baselines.batches import Lengths, compact
from reasonmaxxer.config import PromptStyle, SamplingConfig, TrainingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.fit import FitArguments, History, fit, trainer_arguments
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.engine import Engine, Request, rollout_seed
from reasonmaxxer.rollouts.sampler import Grader

OnLengths = Callable[[Lengths], None]
"""Called with the tokens of prompt and completion of each sequence of a step."""


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
    fitting: FitArguments,
    *,
    on_sampled: OnLengths | None = None,
    on_learnt: OnLengths | None = None,
) -> History:
    """Train the model's adapter in place by `config.method`, `grpo` or `rloo`.

    Args:
        model: with a fresh adapter.
        tokenizer: renders prompts and decodes completions.
        environment: what the policy acts in.
        config: optimiser, steps, checkpoints.
        fitting: folder and callbacks; the seed also fixes the order of problems and every draw.
        on_sampled: called with each step's completions, one problem's after another, before they are learnt from.
        on_learnt: called with those that the step learns from.

    Returns:
        One row a step: `step`, `loss`, `grad_norm`, `learning_rate`, `reward` (mean over completions),
        `completion_length`, `entropy` (nats, mean over the micro-batches that teach; none in a step without
        one), and what else TRL logs.

    Raises:
        UserError: fewer problems than a step needs.
        FloatingPointError: the loss is no longer finite.
    """
    import trl
    from datasets import Dataset

    policy = _Policy(environment, tokenizer, fitting.seed, on_sampled)
    arguments = {
        **trainer_arguments(config, model, config.baseline.steps, fitting),
        "max_steps": config.baseline.steps,
        "shuffle_dataset": False,
        "num_generations": environment.group,
        "max_completion_length": environment.sampling.max_new_tokens,
        "temperature": environment.sampling.temperature,
        "top_p": environment.sampling.top_p,
        "beta": config.baseline.beta,
    }
    if config.method == "grpo":
        trainer_class, settings_class = trl.GRPOTrainer, trl.GRPOConfig
        arguments["top_entropy_quantile"] = config.baseline.top_entropy_quantile
    else:
        trainer_class, settings_class = trl.RLOOTrainer, trl.RLOOConfig
    trainer = _sampled_by(policy, compact(trainer_class, on_learnt))(
        model=model,
        args=settings_class(**arguments),
        # TRL hands the prompt on as it is: the id says which problem, and nothing is tokenised twice
        train_dataset=Dataset.from_list([{"prompt": id} for id in _order(environment, config, fitting.seed)]),
        reward_funcs=policy.rewards,
        processing_class=tokenizer,
    )
    return [{**row, "completion_length": row["completions/mean_length"]} for row in fit(trainer, fitting)]


def _order(environment: Environment, config: TrainingConfig, seed: int) -> list[str]:
    """Ids of the problems of every step, a fresh permutation each time all have been seen.

    TRL's own order begins anew when a run is taken up after its first epoch; this one is one epoch long.
    """
    problems, each = environment.problems, config.batch_size // environment.group
    if len(problems) < each:
        raise UserError(
            f"A step of {config.method} takes {each} problems (training.batch_size / "
            f"rollouts.rollouts_per_problem), but there are {len(problems)}: raise "
            "problems.train.limit or lower training.batch_size."
        )
    random = np.random.Generator(np.random.Philox(seed))
    order: list[str] = []
    while len(order) < config.baseline.steps * each:
        order += [problems[i].id for i in random.permutation(len(problems))]
    return order[: config.baseline.steps * each]


class _Policy:
    """The model as it stands: samples completions of problems, and has them graded."""

    def __init__(self, environment: Environment, tokenizer: Any, seed: int, on_sampled: OnLengths | None) -> None:
        self.environment, self.tokenizer = environment, tokenizer
        self.seed, self.on_sampled = seed, on_sampled
        self.problems = {problem.id: problem for problem in environment.problems}

    def render(self, ids: Sequence[str]) -> list[list[int]]:
        """Prompt ids of problems."""
        style = self.environment.prompt_style
        rendered = {id: render_prompt(style, self.problems[id].text, self.tokenizer) for id in set(ids)}
        return [rendered[id] for id in ids]

    def sample(self, ids: Sequence[str], prompt_ids: Sequence[Sequence[int]], step: int) -> list[list[int]]:
        """Completions of the problems as named."""
        seen: Counter[str] = Counter()
        requests = []
        for id, prompt in zip(ids, prompt_ids, strict=True):
            # a problem comes again in later epochs: its draws differ by the step
            requests.append(Request(tuple(prompt), rollout_seed(self.seed, f"{id}@{step}", seen[id])))
            seen[id] += 1
        completions = self.environment.engine.generate(requests, self.environment.sampling)
        if self.on_sampled:
            pairs = zip(requests, completions, strict=True)
            self.on_sampled([(len(request.prompt_ids), len(completion.ids)) for request, completion in pairs])
        return [completion.ids for completion in completions]

    def rewards(self, prompts: list[str], completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
        """TRL's reward function."""
        texts = [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in completion_ids]
        grades = self.environment.verifier.grade(
            list(zip(map(self.problems.__getitem__, prompts), texts, strict=True))
        )
        return [float(grade.outcome.value == "correct") for grade in grades]


def _sampled_by(policy: _Policy, trainer: type[Any]) -> type[Any]:
    """TRL's trainer with the two methods that sample replaced; GRPO's also returns log-probabilities, if any."""
    import trl

    class Sampled(trainer):  # type: ignore[misc]
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            self._problem_ids = prompts
            return policy.render(prompts), None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any) -> Any:
            completion_ids = policy.sample(self._problem_ids, prompt_ids, self.state.global_step)
            return (completion_ids, None) if isinstance(self, trl.GRPOTrainer) else completion_ids

    return Sampled
