"""The training stage: one adapter a gate, and the choice among them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.evaluation.evaluate import outcomes_by_problem
from reasonmaxxer.pipeline.session import Session
from reasonmaxxer.run_directory import StageWork
from reasonmaxxer.signal.gates import Gate
from reasonmaxxer.signal.select import Example
from reasonmaxxer.training.base_states import BaseStates
from reasonmaxxer.training.select import Candidate, best_candidate, candidate_table
from reasonmaxxer.training.train import (
    add_adapter,
    checkpoint_step,
    history_table,
    load_adapter_weights,
    planned_steps,
    save_adapter,
    train_adapter,
    training_layout,
    whole_checkpoints,
)


def training(session: Session, work: StageWork) -> None:
    """Train one adapter a gate; the validation split picks gate and checkpoint."""
    examples = session.examples()
    gates = [Gate(**gate) for gate in session.directory.record("signal")["counts"]["gates"]]
    candidates: list[Candidate] = []
    histories = []
    base_states = BaseStates() if len(gates) > 1 else None
    for index, gate in enumerate(gates):
        label = f" {index + 1}/{len(gates)}" if len(gates) > 1 else ""
        folder = work.folder / f"gate-{index}"
        histories += _train(session, work, examples, gate, index, folder, label, base_states)
        candidates += _validate(session, work, gate, index, folder, label)
        session.loaded.model = session.loaded.model.unload()
    best = best_candidate(candidates)
    save_adapter(best.adapter, work.folder / "adapter", session.loaded.name)
    write_table(history_table(histories), work.folder / "history.parquet")
    write_table(candidate_table(candidates), work.folder / "validation.parquet")
    for index in range(len(gates)):
        shutil.rmtree(work.folder / f"gate-{index}")
    config = session.recipe.training
    work.counts = {
        "gate": best.gate.to_dict(),
        "steps": best.step,
        "planned_steps": planned_steps(len(examples), config),
        "sequences": len(examples),
        "tokens": sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples),
        "checkpoint": f"step {best.step}",
        "validation_accuracy": best.accuracy,
        "validation_problems": len(best.correct),
    }


def _train(
    session: Session,
    work: StageWork,
    examples: list[Example],
    gate: Gate,
    index: int,
    folder: Path,
    label: str,
    base_states: BaseStates | None,
) -> list[dict[str, Any]]:
    """Train the adapter of one gate; its history, one row a step."""
    config, seed = session.recipe.training, session.recipe.seed
    finished = folder / "history.json"
    session.loaded.model = add_adapter(session.loaded.model, config.adapter, seed)
    if finished.exists():
        history: list[dict[str, Any]] = read_json(finished)
        return history
    steps = planned_steps(len(examples), config)
    flops_until = _training_flops(session, examples, gate, index, steps)
    tokens_each = sum(len(e.prompt_ids) + len(e.completion_ids) for e in examples) / steps
    with session.display.task(f"Training{label}", steps) as task:

        def on_step(step: int) -> None:
            done = step - task.done
            tokens = round(done * config.epochs * tokens_each)
            work.meter.add(tokens=tokens, flops=flops_until(step) - flops_until(task.done))
            task.advance(done, tokens)

        already = whole_checkpoints(folder)
        task.advance(checkpoint_step(already[-1]) if already else 0)
        history = train_adapter(
            session.loaded.model,
            session.loaded.tokenizer,
            examples,
            gate,
            config,
            seed=seed,
            folder=folder,
            base_states=base_states,
            events=session.directory.path / "tensorboard" / f"gate-{index}",
            on_step=on_step,
            on_checkpoint=work.save_cost,
        )
    history = [{"gate": index, **row} for row in history]
    write_json(history, finished)
    return history


def _training_flops(
    session: Session, examples: list[Example], gate: Gate, index: int, steps: int
) -> Callable[[int], float]:
    """FLOPs of the first steps of a gate's training; the base reads each sequence once a run."""
    config = session.recipe.training
    rows = training_layout(examples, config, session.recipe.seed)
    decisions = sum(int(gate.decisions(e.entropy, e.key).sum()) for e in examples)
    anchored = config.anchor_weight > 0
    fresh = anchored and index == 0
    first = session.flops.training(rows, decisions, anchored=anchored, base=fresh)
    later = session.flops.training(rows, decisions, anchored=anchored, base=False)

    def until(step: int) -> float:
        epochs = step / steps * config.epochs
        return min(epochs, 1.0) * first + max(epochs - 1.0, 0.0) * later

    return until


def _validate(
    session: Session, work: StageWork, gate: Gate, index: int, folder: Path, label: str
) -> list[Candidate]:
    """Try every checkpoint of one gate on the validation problems, greedily."""
    problems = session.splits.validation
    greedy = session.recipe.evaluation.model_copy(update={"temperature": 0.0})
    checkpoints = whole_checkpoints(folder)
    candidates = []
    count = len(checkpoints) * len(problems)
    with session.display.task(f"Validation{label}", count) as task:
        for checkpoint in checkpoints:
            load_adapter_weights(session.loaded.model, checkpoint)
            step = checkpoint_step(checkpoint)
            tried = folder / f"validation-{step}"
            rollouts = session.sample(work, problems, tried, greedy, 1, task)
            candidates.append(
                Candidate(index, gate, step, checkpoint, outcomes_by_problem(rollouts))
            )
    return candidates
