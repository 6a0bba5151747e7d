"""The training stage: one adapter a gate, or one by a baseline, and the choice among checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.measure.rollouts import outcomes_by_problem
from reasonmaxxer.method.checkpoints import (
    RECORD,
    checkpoint_step,
    load_adapter_weights,
    save_adapter,
    whole_checkpoints,
)
from reasonmaxxer.method.fit import FitArguments, History
from reasonmaxxer.method.processes import is_first, leave_processes
from reasonmaxxer.method.train import history_table
from reasonmaxxer.method.validation import Candidate, best_candidate, candidate_table
from reasonmaxxer.work.job import Job
from reasonmaxxer.work.methods import Method, methods_of
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.records import CheckpointCost, TrainingCounts
from reasonmaxxer.work.sampling import greedily
from reasonmaxxer.work.stage_work import StageWork


def training(job: Job, work: StageWork) -> None:
    """Train one adapter a method; the validation split picks gate and checkpoint.

    All are trained before any is validated: with several processes the others leave in between.
    """
    methods = methods_of(job)
    history = train_all(job, work, methods)
    job.model.add_adapter(job.recipe.training.adapter, job.recipe.seed)
    candidates = [c for number in range(len(methods)) for c in _validate(job, work, methods, number)]
    job.model.remove_adapter()
    best = best_candidate(candidates)
    chosen = methods[best.gate_index]
    save_adapter(best.adapter, work.folder / "adapter", job.model.loaded)
    write_table(history_table(history), work.folder / "history.parquet")
    write_table(candidate_table(candidates), work.folder / "validation.parquet")
    work.counts = TrainingCounts(
        method=job.recipe.training.method,
        gate=best.gate.to_dict() if best.gate else None,
        steps=best.step,
        planned_steps=chosen.steps,
        sequences=chosen.sequences,
        tokens=chosen.tokens,
        checkpoint=f"step {best.step}",
        validation_accuracy=best.accuracy,
        validation_problems=len(best.correct),
        checkpoints=[cost for number in range(len(methods)) for cost in _checkpoint_costs(work, number)],
    )


def train_all(job: Job, work: StageWork, methods: Sequence[Method]) -> History:
    """Train every adapter, all processes together; the history, one row a step."""
    history: History = []
    for number, method in enumerate(methods):
        finished = _folder(work, number) / "history.json"
        if finished.exists():
            history += read_json(finished)
            continue
        job.model.add_adapter(job.recipe.training.adapter, job.recipe.seed)
        rows = _train(job, work, method, number, _label(number, methods))
        history += rows
        if is_first():
            write_json(rows, finished)
        job.model.remove_adapter()
    leave_processes()
    return history


def _train(job: Job, work: StageWork, method: Method, number: int, label: str) -> History:
    """Train one adapter, metered step by step; its history."""
    folder = _folder(work, number)

    def on_step(step: int) -> None:
        tokens = round(method.tokens_until(step) - method.tokens_until(task.done))
        work.meter.add(tokens=tokens, flops=method.flops_until(step) - method.flops_until(task.done))
        task.advance(step - task.done, tokens)

    def on_checkpoint(record: Path) -> dict[str, Any]:
        return asdict(work.save_cost(record))

    with job.display.task(f"Training{label}", method.steps) as task:
        already = whole_checkpoints(folder)
        task.advance(checkpoint_step(already[-1]) if already else 0)
        events = job.workspace.path / "tensorboard" / f"gate-{number}"
        fitting = FitArguments(folder, job.recipe.seed, events, on_step, on_checkpoint)
        history = method.train(fitting, work.meter)
    return [{"gate": number, **row} for row in history]


def _validate(job: Job, work: StageWork, methods: Sequence[Method], number: int) -> list[Candidate]:
    """Try every checkpoint of one adapter on the validation problems, greedily."""
    problems, greedy = job.splits.validation, greedily(job.recipe.evaluation)
    folder = _folder(work, number)
    checkpoints = whole_checkpoints(folder)
    label, count = f"Validation{_label(number, methods)}", len(checkpoints) * len(problems)

    def tried(checkpoint: Path, task: Task) -> Candidate:
        load_adapter_weights(job.model.model, checkpoint)
        step = checkpoint_step(checkpoint)
        answers = folder / f"validation-{step}"
        respondent = job.model.respondent(checkpoint)
        rollouts = job.examiner.ask(respondent, problems, greedy, 1, work, answers, task)
        return Candidate(number, methods[number].gate, step, checkpoint, outcomes_by_problem(rollouts))

    with job.display.task(label, count) as task:
        return [tried(checkpoint, task) for checkpoint in checkpoints]


def _checkpoint_costs(work: StageWork, number: int) -> list[CheckpointCost]:
    """What the stage had cost at each checkpoint of one adapter."""
    return [
        cast(CheckpointCost, {"gate": number, "step": checkpoint_step(path), **read_json(path / RECORD)})
        for path in whole_checkpoints(_folder(work, number))
    ]


def _folder(work: StageWork, number: int) -> Path:
    """Folder of one gate's training."""
    return work.scratch / f"gate-{number}"


def _label(number: int, methods: Sequence[Method]) -> str:
    return f" {number + 1}/{len(methods)}" if len(methods) > 1 else ""
