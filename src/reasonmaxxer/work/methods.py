"""What trains an adapter: ReasonMaxxer with one gate, or a baseline; each knows its trainer and its FLOPs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reasonmaxxer.baselines.batches import Lengths
from reasonmaxxer.baselines.offline import Rows, learnt_lengths, mismatched_lengths, offline_rows, train_offline
from reasonmaxxer.baselines.online import Environment, train_online
from reasonmaxxer.config import ONLINE
from reasonmaxxer.cost import Meter
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.fit import FitArguments, History, planned_steps
from reasonmaxxer.method.gate import Gate, gate_warnings
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.train import train_adapter, training_layout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.work.job import Job
from reasonmaxxer.work.rounds import Lesson, first_lesson


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """The training of one adapter on the model of a run, which carries a fresh one.

    Attributes:
        job: the run.
        steps: optimiser steps.
        sequences: that one epoch reads, or all steps of an online method.
        tokens: of them, prompts included; None where only training tells.
        gate: of ReasonMaxxer.
    """

    job: Job
    steps: int
    sequences: int
    tokens: int | None
    gate: Gate | None = None

    @abstractmethod
    def train(self, fitting: FitArguments, meter: Meter) -> History:
        """Train the adapter in place, from the last whole checkpoint on.

        Args:
            fitting: folder, seed and callbacks.
            meter: for what is not known before it is done.
        """

    def flops_until(self, step: int) -> float:
        """FLOPs of the first steps, as far as they are known before they are done."""
        return 0.0

    def tokens_until(self, step: int) -> float:
        """Tokens of the first steps, likewise."""
        return (self.tokens or 0) * self.job.recipe.training.epochs / self.steps * step


@dataclass(frozen=True, kw_only=True)
class GateTraining(Method):
    """ReasonMaxxer with one gate.

    Attributes:
        examples: what teaches.
        base_states: of the base, which reads each sequence once a run; shared by the gates of a sweep.
        first: whether this gate's training is the one in which it reads them.
    """

    gate: Gate
    examples: Sequence[Example]
    base_states: BaseStates | None
    first: bool

    def train(self, fitting: FitArguments, meter: Meter) -> History:
        """Train on the decision points of the gate."""
        loaded, recipe = self.job.model.loaded, self.job.recipe
        return train_adapter(
            loaded.model, loaded.tokenizer, self.examples, self.gate, recipe.training, fitting, self.base_states
        )

    @cached_property
    def _layout(self) -> list[list[int]]:
        recipe = self.job.recipe
        return training_layout(self.examples, recipe.training, recipe.seed, self.job.model.model.device.type)

    @cached_property
    def _decisions(self) -> int:
        return sum(int(self.gate.decisions(e.entropy, e.key).sum()) for e in self.examples)

    def flops_until(self, step: int) -> float:
        """FLOPs of the first steps, by formula."""
        config = self.job.recipe.training
        epochs, anchored = step / self.steps * config.epochs, config.anchor_weight > 0
        return self.job.model.flops.course(self._layout, self._decisions, epochs, anchored=anchored, fresh=self.first)


@dataclass(frozen=True, kw_only=True)
class Offline(Method):
    """A baseline on the rollouts that ReasonMaxxer would train on.

    Attributes:
        rows: what TRL's trainer reads.
    """

    rows: Rows

    def train(self, fitting: FitArguments, meter: Meter) -> History:
        """Train by SFT, DPO or KTO."""
        loaded, recipe = self.job.model.loaded, self.job.recipe
        return train_offline(loaded.model, loaded.tokenizer, self.rows, recipe.training, fitting)

    def flops_until(self, step: int) -> float:
        """FLOPs of the first steps, each the same share of an epoch."""
        return step * (self._epoch_flops * self.job.recipe.training.epochs / self.steps)

    @cached_property
    def _epoch_flops(self) -> float:
        """One epoch; DPO and KTO read the base too, and KTO both models on mismatched completions."""
        flops = self.job.model.flops
        lengths = [length for row in self.rows for length in learnt_lengths(row)]
        completions = sum(completion for _, completion in lengths)
        referred = self.job.recipe.training.method != "sft"
        total = flops.training(lengths, completions, anchored=False, base=referred)
        if referred:
            total += flops.logits(completions)
        for prompt, completion in (length for row in self.rows for length in mismatched_lengths(row)):
            total += 2 * (flops.hidden(prompt + completion) + flops.logits(completion))
        return total


@dataclass(frozen=True, kw_only=True)
class Online(Method):
    """A baseline that samples while it trains."""

    def train(self, fitting: FitArguments, meter: Meter) -> History:
        """Train by GRPO or RLOO; tokens and FLOPs are counted as completions turn out."""
        loaded, recipe = self.job.model.loaded, self.job.recipe
        environment = self._environment()

        def on_sampled(lengths: Lengths) -> None:
            prompts = [prompt for prompt, _ in lengths[:: environment.group]]
            meter.add(tokens=_completions(lengths), flops=self._sampling_flops(prompts, lengths))

        def on_learnt(lengths: Lengths) -> None:
            meter.add(tokens=sum(map(sum, lengths)), flops=self._learning_flops(lengths))

        return train_online(
            loaded.model,
            loaded.tokenizer,
            environment,
            recipe.training,
            fitting,
            on_sampled=on_sampled,
            on_learnt=on_learnt,
        )

    def _environment(self) -> Environment:
        recipe, model = self.job.recipe, self.job.model
        config, temperature = recipe.rollouts, recipe.training.baseline.temperature
        return Environment(
            problems=self.job.splits.train,
            engine=TransformersEngine(
                model.model, model.eos_ids, config.batch_size, model.loaded.tokenizer, config.engine.cuda_graphs
            ),
            verifier=self.job.verifier,
            prompt_style=recipe.problems.prompt_style,
            sampling=config.model_copy(update={"temperature": temperature, "top_p": 1.0}),
            group=config.rollouts_per_problem,
        )

    def _sampling_flops(self, prompts: Sequence[int], lengths: Lengths) -> float:
        flops, config = self.job.model.flops, self.job.recipe.training
        total = flops.sampling(prompts, lengths)
        if config.method == "rloo" and config.baseline.beta > 0:  # scored once more for the penalty
            total += flops.hidden(sum(map(sum, lengths))) + flops.logits(_completions(lengths))
        return total

    def _learning_flops(self, lengths: Lengths) -> float:
        flops, referred = self.job.model.flops, self.job.recipe.training.baseline.beta > 0
        total = flops.training(lengths, _completions(lengths), anchored=False, base=referred)
        return total + flops.logits(_completions(lengths)) if referred else total


def methods_of(job: Job) -> list[Method]:
    """What the first round trains, in order: one adapter a gate, or a baseline's."""
    config, seed = job.recipe.training, job.recipe.seed
    if config.method == "reasonmaxxer":
        return list(gate_trainings(job, first_lesson(job)))
    if config.method in ONLINE:
        steps = config.baseline.steps
        return [Online(job=job, steps=steps, sequences=steps * config.batch_size, tokens=None)]
    rows = offline_rows(job.examples(), config, seed)
    lengths = [length for row in rows for length in learnt_lengths(row)]
    steps = planned_steps(len(rows), config)
    return [Offline(job=job, steps=steps, sequences=len(lengths), tokens=sum(map(sum, lengths)), rows=rows)]


def gate_trainings(job: Job, lesson: Lesson) -> list[GateTraining]:
    """One training a gate, all on the same examples."""
    examples, gates = lesson.examples, lesson.gates
    for text in gate_warnings(gates, [example.entropy for example in examples]):
        job.display.warn(text)
    base_states = BaseStates() if len(gates) > 1 else None
    steps = planned_steps(len(examples), job.recipe.training)
    tokens = sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples)
    return [
        GateTraining(
            job=job,
            steps=steps,
            sequences=len(examples),
            tokens=tokens,
            gate=gate,
            examples=examples,
            base_states=base_states,
            first=number == 0,
        )
        for number, gate in enumerate(gates)
    ]


def _completions(lengths: Lengths) -> int:
    """Tokens of all completions."""
    return sum(completion for _, completion in lengths)
