"""The training stage: one adapter a gate, or one by a baseline, and the choice among checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.measure.rollouts import outcomes_by_problem
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.processes import is_first, leave_processes
from reasonmaxxer.method.train import (
    RECORD,
    add_adapter,
    checkpoint_step,
    history_table,
    load_adapter_weights,
    save_adapter,
    whole_checkpoints,
)
from reasonmaxxer.method.validation import Candidate, best_candidate, candidate_table
from reasonmaxxer.work.courses import Course, Hooks, courses_of
from reasonmaxxer.work.run_directory import StageWork
from reasonmaxxer.work.session import Session


def training(session: Session, work: StageWork) -> None:
    """Train one adapter a course; the validation split picks course and checkpoint.

    All courses come before any validation: with several processes the others leave in between.
    """
    courses = courses_of(session, work)
    histories = train_courses(session, work, courses)
    _fresh_adapter(session)
    candidates: list[Candidate] = []
    checkpoints = []
    for index, course in enumerate(courses):
        folder = _folder(work, index)
        label = _label(index, courses)
        candidates += _validate(session, work, course.gate, index, folder, label)
        checkpoints += _checkpoint_costs(folder, index)
    session.put(session.loaded.model.unload())
    best = best_candidate(candidates)
    save_adapter(best.adapter, work.folder / "adapter", session.loaded)
    write_table(history_table(histories), work.folder / "history.parquet")
    write_table(candidate_table(candidates), work.folder / "validation.parquet")
    chosen = courses[best.gate_index]
    work.counts = {
        "method": session.recipe.training.method,
        "gate": best.gate and best.gate.to_dict(),
        "steps": best.step,
        "planned_steps": chosen.steps,
        "sequences": chosen.sequences,
        "tokens": chosen.tokens,
        "checkpoint": f"step {best.step}",
        "validation_accuracy": best.accuracy,
        "validation_problems": len(best.correct),
        "checkpoints": checkpoints,
    }


def train_courses(session: Session, work: StageWork, courses: Sequence[Course]) -> list[dict[str, Any]]:
    """Train the adapter of every course, all processes together; the history, one row a step."""
    histories = []
    for index, course in enumerate(courses):
        finished = _folder(work, index) / "history.json"
        if finished.exists():
            histories += read_json(finished)
            continue
        _fresh_adapter(session)
        history = _train(session, work, course, index, _label(index, courses))
        histories += history
        if is_first():
            write_json(history, finished)
        session.training_done()
    leave_processes()
    return histories


def _train(session: Session, work: StageWork, course: Course, index: int, label: str) -> list[dict[str, Any]]:
    """Train the adapter of one course; its history."""
    folder = _folder(work, index)

    def on_checkpoint(record: Path) -> dict[str, Any]:
        return work.save_cost(record).to_dict()

    with session.display.task(f"Training{label}", course.steps) as task:
        already = whole_checkpoints(folder)
        task.advance(checkpoint_step(already[-1]) if already else 0)
        events = session.directory.path / "tensorboard" / f"gate-{index}"
        history = course.train(Hooks(folder, events, task, on_checkpoint))
    return [{"gate": index, **row} for row in history]


def _fresh_adapter(session: Session) -> None:
    adapter = session.recipe.training.adapter
    session.put(add_adapter(session.loaded.model, adapter, session.recipe.seed))


def _folder(work: StageWork, index: int) -> Path:
    """Folder of one gate's training."""
    return work.scratch / f"gate-{index}"


def _label(index: int, courses: Sequence[Course]) -> str:
    return f" {index + 1}/{len(courses)}" if len(courses) > 1 else ""


def _checkpoint_costs(folder: Path, index: int) -> list[dict[str, Any]]:
    """What the stage had cost at each checkpoint of a course."""
    return [
        {"gate": index, "step": checkpoint_step(path), **read_json(path / RECORD)}
        for path in whole_checkpoints(folder)
    ]


def _validate(
    session: Session, work: StageWork, gate: Gate | None, index: int, folder: Path, label: str
) -> list[Candidate]:
    """Try every checkpoint of one course on the validation problems, greedily."""
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
            rollouts = session.sample(work, problems, tried, greedy, 1, task, adapter=checkpoint)
            candidates.append(Candidate(index, gate, step, checkpoint, outcomes_by_problem(rollouts)))
    return candidates
