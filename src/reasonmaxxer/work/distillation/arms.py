"""Base, teacher and students as they are measured: greedy accuracy, and KL to the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import read_table, write_json
from reasonmaxxer.config import DistillationConfig, SamplingConfig
from reasonmaxxer.measure.metrics import bootstrap, paired_difference
from reasonmaxxer.measure.rollouts import outcomes_by_problem
from reasonmaxxer.microscope.opinions import Opinions, mean_kl, opinions_from_table
from reasonmaxxer.problems import Problem
from reasonmaxxer.rollouts.collect import collect, read_rollouts
from reasonmaxxer.rollouts.sampler import Grader, Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.work.progress import Display, Task

ACCURACY = "accuracy.json"
GREEDY = "greedy"
OPINIONS, GREEDY_OPINIONS = "opinions.parquet", f"{GREEDY}-opinions.parquet"


@dataclass(frozen=True)
class Examination:
    """What all models are put to, alike.

    Attributes:
        config: of the distillation.
        problems: those that measure.
        tokenizer: the base's; renders the prompts of all.
        eos_ids: tokens that end a completion, of base and teacher together.
        verifier: what grades.
        display: where progress shows.
    """

    config: DistillationConfig
    problems: Sequence[Problem]
    tokenizer: Any
    eos_ids: Sequence[int]
    verifier: Grader
    display: Display

    def greedy(self, model: Any, folder: Path, label: str) -> list[Rollout]:
        """Durable greedy completions of the problems, in a folder of the arm's."""
        greedy = self.config.model_copy(update={"temperature": 0.0})
        with self.display.task(label, len(self.problems)) as task:
            return self.sample(model, self.problems, folder / GREEDY, greedy, 1, task)

    def sample(
        self,
        model: Any,
        problems: Sequence[Problem],
        folder: Path,
        sampling: SamplingConfig,
        per_problem: int,
        task: Task,
    ) -> list[Rollout]:
        """Durable graded rollouts of a model as it stands."""
        sampler = Sampler(
            TransformersEngine(model, self.eos_ids, self.config.decoding_batch_size, self.tokenizer),
            self.verifier,
            self.tokenizer,
            prompt_style=self.config.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=self.config.seed,
        )
        return collect(problems, folder, self.config.rollouts_per_shard, sampler, on_tokens=task.on_tokens)


@dataclass(frozen=True)
class HeldOut:
    """The teacher's greedy completions of the problems that measure, and its opinions of them."""

    sequences: list[Rollout]
    opinions: list[Opinions]

    @classmethod
    def read(cls, teacher: Path) -> HeldOut:
        """From the teacher's folder."""
        opinions = opinions_from_table(read_table(teacher / GREEDY_OPINIONS))
        return cls(read_rollouts(teacher / GREEDY), opinions)


def examine(examination: Examination, model: Any, folder: Path, label: str, held_out: HeldOut | None) -> None:
    """Write `greedy/` and `accuracy.json` of one model, with its adapter as it stands.

    Args:
        examination: what it is put to.
        model: base, teacher or base with a student's adapter.
        folder: of the arm.
        label: for progress.
        held_out: what its KL to the teacher is measured on; None of the teacher itself.
    """
    config = examination.config
    rollouts = examination.greedy(model, folder, label)
    kl = np.zeros(len(rollouts))
    if held_out is not None:
        with examination.display.task(f"{label}, KL", len(rollouts)) as task:
            kl = mean_kl(held_out.sequences, held_out.opinions, model, lambda n: task.advance(1, n))
    correct = np.array([rollout.reward for rollout in rollouts])
    accuracy = bootstrap(correct, config.bootstrap, config.confidence, config.seed)
    record = {
        "accuracy": accuracy.to_dict(),
        "kl": float(kl.mean()),
        "truncated_share": float(np.mean([rollout.truncated for rollout in rollouts])),
        "correct": outcomes_by_problem(rollouts),
    }
    write_json(record, folder / ACCURACY)


def to_teacher(own: dict[str, Any], teacher: dict[str, Any], config: DistillationConfig) -> dict[str, float]:
    """How far an arm's accuracy is from the teacher's on the same problems, of two `accuracy.json`."""
    theirs, ours = (np.array(list(arm["correct"].values())) for arm in (teacher, own))
    found = paired_difference(theirs, ours, config.bootstrap, config.confidence, config.seed)
    return found.to_dict()
