"""The training stage: one adapter a gate, or one by a baseline, round by round, and the choice among checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import sub
from pathlib import Path
from typing import Any, cast

from reasonmaxxer.artifacts import read_json, write_json, write_table
from reasonmaxxer.cost import StageCost
from reasonmaxxer.errors import NothingToLearnError
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
from reasonmaxxer.work.methods import Method, gate_trainings, methods_of
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.records import CheckpointCost, RolloutCounts, RoundCounts, TrainingCounts
from reasonmaxxer.work.rounds import next_lesson
from reasonmaxxer.work.sampling import greedily
from reasonmaxxer.work.stage_work import StageWork

PATIENCE = 3
"""Rounds that no checkpoint has done better than those before, after which there is no other round."""


@dataclass(frozen=True)
class Round:
    """What a round trains, and where it keeps its checkpoints.

    Attributes:
        number: from 1.
        methods: an adapter each; one but in a sweep of gates.
        sampled: summary of its rollouts; None of the first, whose stage has it.
        before: optimiser steps of the rounds before.
        start: checkpoint that it goes on from; None of the first.
        validated: what trying the checkpoints of the rounds before has cost, which no checkpoint's cost holds.
    """

    number: int
    methods: Sequence[Method]
    sampled: RolloutCounts | None = None
    before: int = 0
    start: Path | None = None
    validated: Sequence[StageCost] = ()

    def folder(self, work: StageWork, gate: int) -> Path:
        """Folder of one adapter's training."""
        return work.scratch / (f"gate-{gate}" if self.number == 1 else f"round-{self.number}")

    def label(self, gate: int) -> str:
        """What a progress bar adds to the name of the work."""
        if self.number > 1:
            return f", round {self.number}"
        return f" {gate + 1}/{len(self.methods)}" if len(self.methods) > 1 else ""


@dataclass
class Course:
    """What all rounds so far have come to.

    Attributes:
        history: one row a step.
        candidates: checkpoints that were tried.
        costs: of the checkpoints.
        rounds: a record each, where there are several.
    """

    history: History = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    costs: list[CheckpointCost] = field(default_factory=list)
    rounds: list[RoundCounts] = field(default_factory=list)

    @property
    def best(self) -> Candidate:
        """The checkpoint that the validation problems choose."""
        return best_candidate(self.candidates)

    @property
    def stale(self) -> int:
        """Rounds since the accuracy of the best checkpoint was first reached."""
        best = self.best.accuracy
        return len(self.rounds) - next(r["round"] for r in self.rounds if r["validation_accuracy"] == best)


def training(job: Job, work: StageWork) -> None:
    """Train one adapter a method, round by round; the validation split picks gate and checkpoint.

    Within a round all are trained before any is validated: with several processes the others leave in between.
    """
    course = Course()
    following: Round | None = Round(1, methods_of(job))
    while following:
        now, following = following, _round(job, work, following, course)
    best, chosen = course.best, now.methods[course.best.gate_index]
    save_adapter(best.adapter, work.folder / "adapter", job.model.loaded)
    write_table(history_table(course.history), work.folder / "history.parquet")
    write_table(candidate_table(course.candidates), work.folder / "validation.parquet")
    work.counts = TrainingCounts(
        method=job.recipe.training.method,
        gate=best.gate.to_dict() if best.gate else None,
        gate_number=best.gate_index,
        steps=best.step,
        planned_steps=now.before + chosen.steps,
        sequences=sum(r["sequences"] for r in course.rounds) or chosen.sequences,
        tokens=sum(r["tokens"] for r in course.rounds) or chosen.tokens,
        checkpoint=f"step {best.step}",
        validation_accuracy=best.accuracy,
        validation_problems=len(best.correct),
        checkpoints=course.costs,
        rounds=course.rounds,
    )


def _round(job: Job, work: StageWork, now: Round, course: Course) -> Round | None:
    """Train and try what a round trains; the round after it, if there is one."""
    course.history += train_all(job, work, now)
    tried, validated = _validate_all(job, work, now)
    course.candidates += tried
    course.costs += [cost for gate in range(len(now.methods)) for cost in _checkpoint_costs(work, now, gate)]
    if job.recipe.rounds == 1:
        return None
    course.rounds.append(_round_counts(now, now.sampled or job.workspace.counts("rollouts"), best_candidate(tried)))
    start = tried[-1].adapter
    save_adapter(start, work.folder / f"round-{now.number}" / "adapter", job.model.loaded)
    if now.number == job.recipe.rounds or course.stale == PATIENCE:
        return None
    try:
        lesson = next_lesson(job, work, now.number + 1, start)
        methods = gate_trainings(job, lesson)
    except NothingToLearnError as error:
        job.display.warn(f"There is no round {now.number + 1}. {error}")
        return None
    return Round(
        number=now.number + 1,
        methods=methods,
        sampled=lesson.sampled,
        before=now.before + now.methods[0].steps,
        start=start,
        validated=[*now.validated, validated],
    )


def train_all(job: Job, work: StageWork, now: Round) -> History:
    """Train every adapter of a round, all processes together; the history, one row a step."""
    history: History = []
    for gate, method in enumerate(now.methods):
        finished = now.folder(work, gate) / "history.json"
        if finished.exists():
            history += read_json(finished)
            continue
        job.model.add_adapter(job.recipe.training.adapter, job.recipe.seed)
        rows = _train(job, work, now, method, gate)
        history += rows
        if is_first():
            write_json(rows, finished)
        job.model.remove_adapter()
    leave_processes()
    return history


def _train(job: Job, work: StageWork, now: Round, method: Method, gate: int) -> History:
    """Train one adapter, metered step by step; its history."""
    folder = now.folder(work, gate)

    def on_step(step: int) -> None:
        tokens = round(method.tokens_until(step)) - round(method.tokens_until(task.done))
        work.meter.add(tokens=tokens, flops=method.flops_until(step) - method.flops_until(task.done))
        task.advance(step - task.done, tokens)

    def on_checkpoint(record: Path) -> dict[str, Any]:
        return asdict(work.save_cost(record))

    with job.display.task(f"Training{now.label(gate)}", method.steps) as task:
        already = whole_checkpoints(folder)
        task.advance(checkpoint_step(already[-1]) if already else 0)
        events = job.workspace.path / "tensorboard" / folder.name
        fitting = FitArguments(folder, job.recipe.seed, now.start, events, on_step, on_checkpoint)
        history = method.train(fitting, work.meter)
    return [{"round": now.number, "gate": gate, **row, "step": now.before + row["step"]} for row in history]


def _validate_all(job: Job, work: StageWork, now: Round) -> tuple[list[Candidate], StageCost]:
    """Try every checkpoint of a round; what that has cost is on record before the next begins."""
    job.model.add_adapter(job.recipe.training.adapter, job.recipe.seed)
    tried = [candidate for gate in range(len(now.methods)) for candidate in _validate(job, work, now, gate)]
    job.model.remove_adapter()
    record = now.folder(work, 0) / "validated.json"
    if not record.exists():
        last = max((_gross(candidate.adapter / RECORD) for candidate in tried), key=lambda cost: cost.seconds)
        write_json(asdict(work.save_cost(record) - last), record)
    return tried, StageCost(**read_json(record))


def _validate(job: Job, work: StageWork, now: Round, gate: int) -> list[Candidate]:
    """Try every checkpoint of one adapter on the validation problems, greedily."""
    problems, greedy = job.splits.validation, greedily(job.recipe.evaluation)
    folder = now.folder(work, gate)
    checkpoints = whole_checkpoints(folder)

    def tried(checkpoint: Path, task: Task) -> Candidate:
        load_adapter_weights(job.model.model, checkpoint)
        step = checkpoint_step(checkpoint)
        answers = folder / f"validation-{step}"
        respondent = job.model.respondent(checkpoint)
        rollouts = job.examiner.ask(respondent, problems, greedy, 1, work, answers, task)
        method = now.methods[gate]
        return Candidate(gate, method.gate, now.before + step, checkpoint, outcomes_by_problem(rollouts), now.number)

    with job.display.task(f"Validation{now.label(gate)}", len(checkpoints) * len(problems)) as task:
        return [tried(checkpoint, task) for checkpoint in checkpoints]


def _checkpoint_costs(work: StageWork, now: Round, gate: int) -> list[CheckpointCost]:
    """What the stage had cost at each checkpoint of one adapter, the validation of earlier rounds left out."""
    return [
        cast(
            CheckpointCost,
            {
                "gate": gate,
                "step": now.before + checkpoint_step(path),
                **asdict(reduce(sub, now.validated, _gross(path / RECORD))),
            },
        )
        for path in whole_checkpoints(now.folder(work, gate))
    ]


def _gross(record: Path) -> StageCost:
    """What the stage had cost at a checkpoint."""
    return StageCost(**read_json(record))


def _round_counts(now: Round, sampled: RolloutCounts, best: Candidate) -> RoundCounts:
    (method,) = now.methods  # rounds train one adapter
    assert method.gate and method.tokens
    return RoundCounts(
        round=now.number,
        rollouts=sampled,
        gate=method.gate.to_dict(),
        sequences=method.sequences,
        tokens=method.tokens,
        steps=method.steps,
        validation_accuracy=best.accuracy,
    )
