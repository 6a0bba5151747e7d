"""Courses of training: one a gate for ReasonMaxxer, one for a baseline, each with what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.baselines.batches import Lengths
from reasonmaxxer.baselines.offline import Rows, offline_rows, offline_steps, train_offline
from reasonmaxxer.baselines.online import Environment, train_online
from reasonmaxxer.config import ONLINE
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.gate import Gate, gate_warnings
from reasonmaxxer.method.selection import Example
from reasonmaxxer.method.train import OnCheckpoint, planned_steps, train_adapter, training_layout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.run_directory import StageWork
from reasonmaxxer.work.session import Session


@dataclass(frozen=True)
class Course:
    """The training of one adapter.

    Attributes:
        steps: optimiser steps.
        sequences: that it reads in one epoch, or in all steps of an online method.
        tokens: of them, prompts included; None where only training tells.
        train: trains the adapter on the model in place and returns its history.
        gate: of ReasonMaxxer.
    """

    steps: int
    sequences: int
    tokens: int | None
    train: Callable[[Hooks], list[dict[str, Any]]]
    gate: Gate | None = None


@dataclass(frozen=True)
class Hooks:
    """What a trainer is given by the stage.

    Attributes:
        folder: of the checkpoints.
        events: folder of TensorBoard's files.
        task: the progress bar.
        on_checkpoint: what a checkpoint records.
    """

    folder: Path
    events: Path
    task: Task
    on_checkpoint: OnCheckpoint


def courses_of(session: Session, work: StageWork) -> list[Course]:
    """What the recipe's method trains, in order."""
    method = session.recipe.training.method
    if method == "reasonmaxxer":
        return _gated(session, work)
    return [_online(session, work) if method in ONLINE else _offline(session, work)]


def _gated(session: Session, work: StageWork) -> list[Course]:
    """ReasonMaxxer: one course a gate, all on the same examples."""
    config, examples = session.recipe.training, session.examples()
    gates = [Gate(**gate) for gate in session.directory.record("signal")["counts"]["gates"]]
    for text in gate_warnings(gates, [example.entropy for example in examples]):
        session.display.warn(text)
    base_states = BaseStates() if len(gates) > 1 else None
    steps = planned_steps(len(examples), config)
    tokens = sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples)

    def course(index: int, gate: Gate) -> Course:
        flops_until = _training_flops(session, examples, gate, index, steps)

        def train(hooks: Hooks) -> list[dict[str, Any]]:
            return train_adapter(
                session.loaded.model,
                session.loaded.tokenizer,
                examples,
                gate,
                config,
                seed=session.recipe.seed,
                folder=hooks.folder,
                base_states=base_states,
                events=hooks.events,
                on_step=_counting(work, hooks.task, tokens * config.epochs / steps, flops_until),
                on_checkpoint=hooks.on_checkpoint,
            )

        return Course(steps, len(examples), tokens, train, gate)

    return [course(index, gate) for index, gate in enumerate(gates)]


def _offline(session: Session, work: StageWork) -> Course:
    """A baseline on the rollouts that ReasonMaxxer would train on."""
    config, seed = session.recipe.training, session.recipe.seed
    rows = offline_rows(session.examples(), config, seed)
    steps = offline_steps(len(rows), config)
    lengths = [_row_lengths(row) for row in rows]
    tokens = sum(prompt + made for row in lengths for prompt, made in row)

    def train(hooks: Hooks) -> list[dict[str, Any]]:
        flops = _offline_flops(session, rows) * config.epochs / steps
        return train_offline(
            session.loaded.model,
            session.loaded.tokenizer,
            rows,
            config,
            seed=seed,
            folder=hooks.folder,
            events=hooks.events,
            on_step=_counting(work, hooks.task, tokens * config.epochs / steps, lambda step: step * flops),
            on_checkpoint=hooks.on_checkpoint,
        )

    return Course(steps, sum(map(len, lengths)), tokens, train)


def _online(session: Session, work: StageWork) -> Course:
    """A baseline that samples while it trains."""
    recipe = session.recipe
    config, own = recipe.training, recipe.training.baseline

    def train(hooks: Hooks) -> list[dict[str, Any]]:
        model = session.loaded.model
        environment = Environment(
            problems=session.splits.train,
            engine=TransformersEngine(
                model,
                session.eos_ids,
                recipe.rollouts.batch_size,
                session.loaded.tokenizer,
                recipe.rollouts.engine.cuda_graphs,
            ),
            verifier=session.verifier,
            prompt_style=recipe.problems.prompt_style,
            sampling=recipe.rollouts.model_copy(update={"temperature": own.temperature, "top_p": 1.0}),
            group=recipe.rollouts.rollouts_per_problem,
        )

        def on_sampled(lengths: Lengths) -> None:
            made = sum(completion for _, completion in lengths)
            prompts = [prompt for prompt, _ in lengths[:: environment.group]]
            flops = session.flops.sampling(prompts, lengths)
            if config.method == "rloo" and own.beta > 0:  # scored once more for the penalty
                flops += session.flops.hidden(sum(map(sum, lengths))) + session.flops.logits(made)
            work.meter.add(tokens=made, flops=flops)

        def on_learnt(lengths: Lengths) -> None:
            made = sum(completion for _, completion in lengths)
            referred = own.beta > 0
            flops = session.flops.training(lengths, made, anchored=False, base=referred)
            flops += session.flops.logits(made) if referred else 0.0
            work.meter.add(tokens=sum(map(sum, lengths)), flops=flops)

        return train_online(
            model,
            session.loaded.tokenizer,
            environment,
            config,
            seed=recipe.seed,
            folder=hooks.folder,
            events=hooks.events,
            on_sampled=on_sampled,
            on_learnt=on_learnt,
            on_step=lambda step: hooks.task.advance(step - hooks.task.done),
            on_checkpoint=hooks.on_checkpoint,
        )

    return Course(own.steps, own.steps * config.batch_size, None, train)


def _counting(
    work: StageWork, task: Task, tokens_each: float, flops_until: Callable[[int], float]
) -> Callable[[int], None]:
    """What to call with the steps done so far: it meters them and moves the bar."""

    def on_step(step: int) -> None:
        tokens = round((step - task.done) * tokens_each)
        work.meter.add(tokens=tokens, flops=flops_until(step) - flops_until(task.done))
        task.advance(step - task.done, tokens)

    return on_step


def _training_flops(
    session: Session, examples: list[Example], gate: Gate, index: int, steps: int
) -> Callable[[int], float]:
    """FLOPs of the first steps of a gate's training; the base reads each sequence once a run."""
    config = session.recipe.training
    device = session.loaded.model.device.type
    rows = training_layout(examples, config, session.recipe.seed, device)
    decisions = sum(int(gate.decisions(e.entropy, e.key).sum()) for e in examples)
    anchored = config.anchor_weight > 0

    def until(step: int) -> float:
        epochs = step / steps * config.epochs
        return session.flops.course(rows, decisions, epochs, anchored=anchored, fresh=index == 0)

    return until


def _row_lengths(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Tokens of prompt and completion of every sequence of an offline row that is learnt from."""
    if "labels" in row:
        prompt = sum(label == -100 for label in row["labels"])
        return [(prompt, len(row["labels"]) - prompt)]
    names = ("chosen_ids", "rejected_ids", "completion_ids")
    return [(len(row["prompt_ids"]), len(row[name])) for name in names if name in row]


def _offline_flops(session: Session, rows: Rows) -> float:
    """One epoch; DPO and KTO read the base too, and KTO both models on mismatched completions."""
    flops = session.flops
    lengths = [length for row in rows for length in _row_lengths(row)]
    made = sum(completion for _, completion in lengths)
    referred = session.recipe.training.method != "sft"
    total = flops.training(lengths, made, anchored=False, base=referred)
    if referred:
        total += flops.logits(made)
    for row in rows:
        if "KL_completion_ids" in row:
            other = len(row["KL_completion_ids"])
            read = flops.hidden(len(row["prompt_ids"]) + other) + flops.logits(other)
            total += 2 * read
    return total
