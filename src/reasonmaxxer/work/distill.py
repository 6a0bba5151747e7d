"""`reasonmaxxer distill`: a teacher, its base, and one student after the other, each a stage.

The teacher is sampled, asked and measured first; then it is let go and the base follows, with one student's
adapter after the other on it.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from typing_extensions import Unpack

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.config import DistillationConfig, ModelConfig, ShapeConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.measure.metrics import Difference, Estimate, bootstrap, paired_difference
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.checkpoints import load_adapter_weights, save_adapter, whole_checkpoints
from reasonmaxxer.method.fit import FitArguments, planned_steps
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.microscope.distill import (
    check_shapes,
    history_table,
    parameter_counts,
    student_rows,
    student_training,
    train_student,
)
from reasonmaxxer.microscope.opinions import mean_kl, opinion_table, opinions_from_table, teacher_opinions
from reasonmaxxer.microscope.pair import check_pair
from reasonmaxxer.models import LoadedModel, eos_ids, load_model, resolve_device, resolve_dtype
from reasonmaxxer.models.names import files_behind
from reasonmaxxer.problems import Problem, load_disjoint, problems_table
from reasonmaxxer.report.page import write_report
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.limits import check_max_length, check_prompts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier, check_gradable
from reasonmaxxer.work.command import finish, opened
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.sampling import Examiner, Respondent, greedily, tokens_and_flops_read
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.workspace import Options, Workspace, trusts

ROLLOUTS, GREEDY, ADAPTER = "rollouts", "greedy", "adapter"
OPINIONS, GREEDY_OPINIONS, HISTORY = "opinions.parquet", "greedy-opinions.parquet", "history.parquet"
_ANSWERS = ("seed", "base", "teacher", "test", "prompt_style", "verify", "max_new_tokens", "decoding_batch_size")
_TAUGHT = (*_ANSWERS, "train", "temperature", "top_p", "stop", "rollouts_per_problem", "rollouts_per_shard", "top")
_MEASURED = (*_TAUGHT, "bootstrap", "confidence")
_LEARNT = (
    *(*_MEASURED, "alpha_per_rank", "dropout", "learning_rate", "weight_decay", "warmup_share", "max_grad_norm"),
    *("epochs", "batch_size", "micro_batch_size", "max_length", "gradient_checkpointing"),
)
"""Keys that a student depends on, beside its shape."""


class ArmCounts(TypedDict):
    """Greedy accuracy of one model, and its KL to the teacher on the teacher's own answers, nats."""

    accuracy: Estimate
    kl: float
    truncated_share: float


class TeacherCounts(ArmCounts):
    """With what the other stages need to know of both models."""

    base: dict[str, str]
    teacher: dict[str, str]
    parameters: int
    eos_ids: list[int]


class StudentCounts(ArmCounts):
    """With the size of the adapter, its share of the base's weights, and its optimiser steps."""

    parameters: int
    parameter_share: float
    steps: int


def distill(
    config: DistillationConfig, out: Path, display: Display | None = None, **options: Unpack[Options]
) -> dict[str, Any]:
    """Distil a teacher into small adapters of its base, measure all of them, and draw what they kept of it.

    Args:
        config: models, problems and the adapters' shapes.
        out: folder to fill; the same config again goes on where it stopped.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `out/summary.json` holds: `rows`, one an arm, each with `name`, `modules`, `rank`,
        `parameters`, `parameter_share`, `steps`, `accuracy`, `to_teacher` and `kl` (nats).

    Raises:
        UserError: bad input, or models that do not belong together.
    """
    splits = load_disjoint({"train": config.train, "test": config.test}, config.seed)
    check_gradable([*splits["train"], *splits["test"]], config.verify)
    students = {student_stage(shape): shape for shape in config.shapes}
    depends = {"problems": ("seed", "train", "test"), **dict.fromkeys(("teacher", "base"), _MEASURED)}
    workspace = opened(
        out,
        "distill",
        config,
        config.base,
        stages=("problems", "teacher", "base", *students),
        files=(config.verify.file, *files_behind(config.base.name, config.teacher.name)),
        problems={f"problems/{name}.parquet": problems for name, problems in splits.items()},
        depends={**depends, **dict.fromkeys(students, _LEARNT)},
        options=options,
    )
    with workspace as there, Verifier(config.verify, config.prompt_style) as verifier:
        work = _Distillation(config, there, display or Display(), splits, verifier, trusts(options))
        summary = there.summary or work.measured(students)
        write_report(out)
        return summary


def student_stage(shape: ShapeConfig) -> str:
    """Where a student lies in the folder of a distillation."""
    return f"students/{shape.name}"


@dataclass(frozen=True)
class _Distillation:
    """One distillation at work: its workspace, its problems, and one model at a time."""

    config: DistillationConfig
    workspace: Workspace
    display: Display
    problems: Mapping[str, Sequence[Problem]]
    verifier: Verifier
    trust_remote_code: bool

    def measured(self, students: Mapping[str, ShapeConfig]) -> dict[str, Any]:
        """Every stage in order, then the summary."""
        run = self.workspace.run_stage
        run("problems", (), self._fix_problems)
        run("teacher", ("problems",), self._ask_teacher)
        _give_back_memory()
        run("base", ("problems", "teacher"), self._measure_base)
        for stage, shape in students.items():
            run(stage, ("problems", "teacher"), partial(self._teach, shape))
        return finish(self.workspace, self._figures(students))

    def _fix_problems(self, work: StageWork) -> None:
        for name, problems in self.problems.items():
            write_table(problems_table(problems), work.folder / f"{name}.parquet")

    def _ask_teacher(self, work: StageWork) -> None:
        """Its rollouts, its opinions of them, and its own accuracy."""
        shell = self._shell()
        teacher = self._load(self.config.teacher)
        check_pair(shell, teacher)
        every = [*self.problems["train"], *self.problems["test"]]
        longest = check_prompts(every, teacher, self.config, "prompt_style", "max_new_tokens", self.display.warn)
        check_max_length(longest, self.config, "max_length")
        ends = sorted({i for m in (shell, teacher) for i in eos_ids(m.model, m.tokenizer)})
        asked = self._respondent(teacher.model, shell.tokenizer, ends)
        folder, problems, each = work.folder, self.problems["train"], self.config.rollouts_per_problem
        with self.display.task("Teacher, rollouts", len(problems) * each) as task:
            rollouts = self._examiner.ask(asked, problems, self.config, each, work, folder / ROLLOUTS, task)
        self._score(work, teacher.model, rollouts, folder / OPINIONS)
        counts = self._examine(work, teacher.model, asked, "Teacher")
        self._score(work, teacher.model, read_rollouts(folder / GREEDY), folder / GREEDY_OPINIONS)
        work.counts = TeacherCounts(
            **counts,
            base=shell.identity,
            teacher=teacher.identity,
            parameters=sum(p.numel() for p in teacher.model.parameters()),
            eos_ids=ends,
        )

    def _shell(self) -> LoadedModel:
        """The base without its weights: enough to refuse it before the teacher works."""
        config = self.config.base
        dtype = str(resolve_dtype(config, resolve_device(config))).removeprefix("torch.")
        shell = load_model(config.model_copy(update={"device": "cpu", "dtype": dtype}), self.trust_remote_code)
        check_shapes(shell.model, self.config.shapes)
        shell.model.to("meta")
        return shell

    def _measure_base(self, work: StageWork) -> None:
        work.counts = self._examine(work, self.base.model, self._asked(self.base.model), "Base")

    def _teach(self, shape: ShapeConfig, work: StageWork) -> None:
        """Train one student, then measure it; `history.parquet` says that it is trained."""
        label = f"Student {shape.name}"
        rows = student_rows(self._rollouts, opinions_from_table(read_table(self._of_teacher(OPINIONS))))
        training = student_training(self.config, shape, len(rows))
        model = add_adapter(self.base.model, training.adapter, self.config.seed)
        history = work.folder / HISTORY
        if history.exists():
            load_adapter_weights(model, work.folder / ADAPTER)
        else:
            with self.display.task(f"{label}, training", planned_steps(len(rows), training)) as task:

                def on_step(step: int) -> None:
                    task.advance(step - task.done)
                    work.keep_time()

                fitting = FitArguments(work.scratch, self.config.seed, on_step=on_step)
                metrics = train_student(model, self.base.tokenizer, rows, training, fitting)
            save_adapter(whole_checkpoints(work.scratch)[-1], work.folder / ADAPTER, self.base)
            self._count_training(work, model)
            work.save_cost(history)
            write_table(history_table(metrics), history)
        counts = self._examine(work, model, self._asked(model), label)
        parameters, share = parameter_counts(model)
        work.counts = StudentCounts(
            **counts, parameters=parameters, parameter_share=share, steps=read_table(history).num_rows
        )
        self.base.model = model.unload()

    def _count_training(self, work: StageWork, model: Any) -> None:
        """A student reads every rollout of the teacher once an epoch, and learns at each token of it."""
        lengths = [(len(r.prompt_ids), len(r.completion_ids)) for r in self._rollouts]
        completions = sum(completion for _, completion in lengths)
        flops = ModelFlops(model).training(lengths, completions, anchored=False, base=False)
        epochs = self.config.epochs
        work.meter.add(tokens=round(epochs * sum(map(sum, lengths))), flops=epochs * flops)

    def _examine(self, work: StageWork, model: Any, asked: Respondent, label: str) -> ArmCounts:
        """Write `greedy/` of one model as it stands; its accuracy, and its KL to the teacher, unless it is that."""
        config, problems = self.config, self.problems["test"]
        with self.display.task(label, len(problems)) as task:
            rollouts = self._examiner.ask(asked, problems, greedily(config), 1, work, work.folder / GREEDY, task)
        kl = np.zeros(len(rollouts))
        if self.workspace.is_done("teacher"):
            heard = read_rollouts(self._of_teacher(GREEDY))
            opinions = opinions_from_table(read_table(self._of_teacher(GREEDY_OPINIONS)))
            with self.display.task(f"{label}, KL", len(heard)) as task:
                kl = mean_kl(heard, opinions, model, lambda tokens: task.advance(1, tokens))
            self._count_reading(work, model, heard)
        correct = np.array([rollout.reward for rollout in rollouts])
        return ArmCounts(
            accuracy=bootstrap(correct, *config.interval),
            kl=float(kl.mean()),
            truncated_share=float(np.mean([rollout.truncated for rollout in rollouts])),
        )

    def _score(self, work: StageWork, model: Any, rollouts: Sequence[Rollout], path: Path) -> None:
        """The teacher's opinions of some answers, unless they are there."""
        if path.exists():
            return
        with self.display.task("Teacher, opinions", len(rollouts)) as task:
            opinions = teacher_opinions(rollouts, model, self.config.top, lambda tokens: task.advance(1, tokens))
        self._count_reading(work, model, rollouts)
        work.save_cost(path)
        write_table(opinion_table(opinions), path)

    def _count_reading(self, work: StageWork, model: Any, rollouts: Sequence[Rollout]) -> None:
        tokens, flops = tokens_and_flops_read(ModelFlops(model), rollouts, 1)
        work.meter.add(tokens=tokens, flops=flops)

    @cached_property
    def base(self) -> LoadedModel:
        """The base, loaded when the teacher is gone; a student's adapter is on it while it is taught."""
        return self._load(self.config.base)

    @cached_property
    def _rollouts(self) -> list[Rollout]:
        """What the students learn from."""
        return read_rollouts(self._of_teacher(ROLLOUTS))

    def _asked(self, model: Any) -> Respondent:
        """The base, perhaps with a student's adapter on it, asked as the teacher was."""
        counts: TeacherCounts = self.workspace.counts("teacher")
        return self._respondent(model, self.base.tokenizer, counts["eos_ids"])

    def _respondent(self, model: Any, tokenizer: Any, ends: Sequence[int]) -> Respondent:
        engine = TransformersEngine(model, ends, self.config.decoding_batch_size, tokenizer)
        return Respondent(engine, ModelFlops(model), tokenizer)

    @property
    def _examiner(self) -> Examiner:
        config = self.config
        return Examiner(self.verifier, config.prompt_style, config.seed, config.rollouts_per_shard)

    def _of_teacher(self, name: str) -> Path:
        return self.workspace.path / "teacher" / name

    def _load(self, config: ModelConfig) -> LoadedModel:
        loaded = load_model(config, self.trust_remote_code)
        self.display.note(f"{loaded.name} ({loaded.source}), {loaded.model.dtype} on {loaded.model.device}")
        return loaded

    def _figures(self, students: Mapping[str, ShapeConfig]) -> dict[str, Any]:
        """What the summary says of every arm."""
        config, teacher = self.config, self.workspace.counts("teacher")
        shapes = {
            stage: {"name": shape.name, "modules": list(shape.modules), "rank": shape.rank}
            for stage, shape in students.items()
        }
        arms: dict[str, dict[str, Any]] = {"base": {"name": "base"}, "teacher": {"name": "teacher"}, **shapes}
        return {
            "package_version": __version__,
            "seed": config.seed,
            "top": config.top,
            "confidence": config.confidence,
            "base": teacher["base"],
            "teacher": teacher["teacher"],
            "test_problems": teacher["accuracy"]["n"],
            "rollouts": rollout_summary(self._rollouts),
            "rows": [self._row(stage, values) for stage, values in arms.items()],
        }

    def _row(self, stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row of the summary; what an arm does not have is null."""
        counts = {**values, **self.workspace.counts(stage)}
        names = ("name", "modules", "rank", "parameters", "parameter_share", "steps", "accuracy")
        return {
            **{name: counts.get(name) for name in names},
            "to_teacher": None if stage == "teacher" else self._to_teacher(stage),
            "kl": counts["kl"],
            "truncated_share": counts["truncated_share"],
        }

    def _to_teacher(self, stage: str) -> Difference:
        """How far an arm's accuracy is from the teacher's on the same problems."""
        theirs, ours = (
            np.array([rollout.reward for rollout in read_rollouts(self.workspace.path / arm / GREEDY)])
            for arm in ("teacher", stage)
        )
        return paired_difference(theirs, ours, *self.config.interval)


def _give_back_memory() -> None:
    """Give back what a model that is gone has held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
