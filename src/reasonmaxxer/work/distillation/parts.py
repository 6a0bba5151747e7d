"""The parts of a distillation, each in a folder that is whole or absent.

The teacher is sampled, asked and measured first; then it is let go and the base follows, with one
student after the other on it.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reasonmaxxer.artifacts import read_json, read_table, whole_folder, write_json, write_table
from reasonmaxxer.config import DistillationConfig, ModelConfig, ShapeConfig
from reasonmaxxer.method.checkpoints import load_adapter_weights, save_adapter, whole_checkpoints
from reasonmaxxer.method.fit import FitArguments, planned_steps
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.microscope.distill import (
    Rows,
    check_shapes,
    history_table,
    parameter_counts,
    student_rows,
    student_training,
    train_student,
)
from reasonmaxxer.microscope.opinions import opinion_table, opinions_from_table, teacher_opinions
from reasonmaxxer.microscope.pair import check_pair
from reasonmaxxer.models import LoadedModel, eos_ids, load_model, resolve_device, resolve_dtype
from reasonmaxxer.problems import Problem, problems_from_table, problems_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.limits import check_max_length, check_prompts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.distillation.arms import GREEDY, GREEDY_OPINIONS, OPINIONS, Examination, HeldOut, examine
from reasonmaxxer.work.progress import Display

PROBLEMS, TEACHER, BASE, ROLLOUTS = "problems", "teacher", "base", "rollouts"
PAIR = "pair.json"
ADAPTER, CHECKPOINTS = "adapter", "checkpoints"
STUDENT, HISTORY = "student.json", "history.parquet"


class Distillation:
    """One run: its folder, and one model at a time.

    Args:
        config: what to do.
        out: the folder.
        display: where progress shows.
        trust_remote_code: let the models' repositories run their own code.
        verifier: what grades.
    """

    def __init__(
        self, config: DistillationConfig, out: Path, display: Display, trust_remote_code: bool, verifier: Verifier
    ) -> None:
        self.config, self.out, self.display = config, out, display
        self.trust_remote_code, self.verifier = trust_remote_code, verifier

    def finish(self, splits: Mapping[str, Sequence[Problem]]) -> None:
        """Make every folder that is not there yet.

        Args:
            splits: the problems, `train` and `test`.
        """
        for name, problems in splits.items():
            write_table(problems_table(problems), self.out / PROBLEMS / f"{name}.parquet")
        if not (self.out / TEACHER).exists():
            self._ask_teacher()
        _free()
        shapes = [s for s in self.config.shapes if not (self.out / student_folder(s)).exists()]
        if shapes or not (self.out / BASE).exists():
            self._work_on_base(shapes)

    def _ask_teacher(self) -> None:
        """Its rollouts, its opinions of them, and its own accuracy."""
        shell = self._shell()
        teacher = self._load(self.config.teacher)
        check_pair(shell, teacher)
        ends = sorted({i for m in (shell, teacher) for i in eos_ids(m.model, m.tokenizer)})
        style, limit = self.config.prompt_style, self.config.max_new_tokens
        asked = [*self._problems("train"), *self._problems("test")]
        longest = check_prompts(asked, teacher, style, limit, self.display.warn)
        check_max_length(longest, self.config.max_length)
        examination = self._examination(shell.tokenizer, ends)
        with whole_folder(self.out / TEACHER) as folder:
            rollouts = self._sample(examination, teacher.model, folder / ROLLOUTS)
            self._score(teacher.model, rollouts, folder / OPINIONS)
            examine(examination, teacher.model, folder, "Teacher", None)
            self._score(teacher.model, read_rollouts(folder / GREEDY), folder / GREEDY_OPINIONS)
            record = {
                "base": shell.identity,
                "teacher": teacher.identity,
                "teacher_parameters": sum(p.numel() for p in teacher.model.parameters()),
                "eos_ids": ends,
            }
            write_json(record, folder / PAIR)

    def _shell(self) -> LoadedModel:
        """The base without its weights: enough to refuse it before the teacher works."""
        config = self.config.base
        dtype = str(resolve_dtype(config, resolve_device(config))).removeprefix("torch.")
        waiting = config.model_copy(update={"device": "cpu", "dtype": dtype})
        shell = load_model(waiting, self.trust_remote_code)
        check_shapes(shell.model, self.config.shapes)
        shell.model.to("meta")
        return shell

    def _sample(self, examination: Examination, model: Any, folder: Path) -> list[Rollout]:
        problems, each = self._problems("train"), self.config.rollouts_per_problem
        with self.display.task("Teacher, rollouts", len(problems) * each) as task:
            return examination.sample(model, problems, folder, self.config, each, task)

    def _score(self, model: Any, rollouts: list[Rollout], path: Path) -> None:
        if path.exists():
            return
        with self.display.task("Teacher, opinions", len(rollouts)) as task:
            opinions = teacher_opinions(rollouts, model, self.config.top, lambda n: task.advance(1, n))
        write_table(opinion_table(opinions), path)

    def _work_on_base(self, shapes: list[ShapeConfig]) -> None:
        """The base's own accuracy, then one student after the other."""
        base = self._load(self.config.base)
        teacher = self.out / TEACHER
        examination = self._examination(base.tokenizer, read_json(teacher / PAIR)["eos_ids"])
        held_out = HeldOut.read(teacher)
        if not (self.out / BASE).exists():
            with whole_folder(self.out / BASE) as folder:
                examine(examination, base.model, folder, "Base", held_out)
        taught = read_rollouts(teacher / ROLLOUTS)
        rows = student_rows(taught, opinions_from_table(read_table(teacher / OPINIONS)))
        for shape in shapes:
            label = f"Student {shape.name}"
            with whole_folder(self.out / student_folder(shape)) as folder:
                model = self._train(base, shape, rows, folder, label)
                examine(examination, model, folder, label, held_out)
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            base.model = model.unload()

    def _train(self, base: LoadedModel, shape: ShapeConfig, rows: Rows, folder: Path, label: str) -> Any:
        """Write `adapter/`, `student.json` and, last, `history.parquet`; the base with its adapter."""
        training = student_training(self.config, shape, len(rows))
        model = add_adapter(base.model, training.adapter, self.config.seed)
        if (folder / HISTORY).exists():
            load_adapter_weights(model, folder / ADAPTER)
            return model
        steps = planned_steps(len(rows), training)
        with self.display.task(f"{label}, training", steps) as task:
            fitting = FitArguments(
                folder / CHECKPOINTS, self.config.seed, on_step=lambda step: task.advance(step - task.done)
            )
            history = train_student(model, base.tokenizer, rows, training, fitting)
        save_adapter(whole_checkpoints(folder / CHECKPOINTS)[-1], folder / ADAPTER, base)
        parameters, share = parameter_counts(model)
        record = {"parameters": parameters, "parameter_share": share, "steps": len(history)}
        write_json(record, folder / STUDENT)
        write_table(history_table(history), folder / HISTORY)
        return model

    def _load(self, config: ModelConfig) -> LoadedModel:
        loaded = load_model(config, self.trust_remote_code)
        model = loaded.model
        self.display.note(f"{loaded.name} ({loaded.source}), {model.dtype} on {model.device}")
        return loaded

    def _problems(self, split: str) -> list[Problem]:
        return problems_from_table(read_table(self.out / PROBLEMS / f"{split}.parquet"))

    def _examination(self, tokenizer: Any, ends: Sequence[int]) -> Examination:
        problems = self._problems("test")
        return Examination(self.config, problems, tokenizer, ends, self.verifier, self.display)


def student_folder(shape: ShapeConfig) -> Path:
    """Where a student lies in the folder of a distillation."""
    return Path("students") / shape.name


def _free() -> None:
    """Give back what a model that is gone has held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
