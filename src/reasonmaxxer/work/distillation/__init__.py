"""A distillation from two models to a table of students, in a folder that survives a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_json, read_object, write_json
from reasonmaxxer.config import DistillationConfig
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.models.files import files_behind
from reasonmaxxer.problems import load_disjoint
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.command_folder import claimed, refuse_other_problems
from reasonmaxxer.work.distillation.arms import ACCURACY, to_teacher
from reasonmaxxer.work.distillation.parts import (
    BASE,
    PAIR,
    PROBLEMS,
    ROLLOUTS,
    STUDENT,
    TEACHER,
    Distillation,
    student_folder,
)
from reasonmaxxer.work.progress import Display

SUMMARY = "summary.json"
SCHEMA = 1


def distill(
    config: DistillationConfig, out: Path, display: Display | None = None, trust_remote_code: bool = False
) -> dict[str, Any]:
    """Distil a teacher into students of several shapes and measure all of them.

    Args:
        config: what to do.
        out: folder of the distillation; one that was interrupted goes on where it was.
        display: where progress shows; none is silent.
        trust_remote_code: let the models' repositories run their own code.

    Returns:
        What `out/summary.json` holds: `rows`, one an arm, each with `name`, `modules`, `rank`,
        `parameters`, `parameter_share`, `steps`, `accuracy`, `to_teacher` and `kl` (nats).

    Raises:
        UserError: bad input, or models that do not belong together.
    """
    splits = load_disjoint({"train": config.train, "test": config.test}, config.seed)
    models = files_behind(config.base.name, config.teacher.name)
    with (
        claimed(out, "distill", config, config.verify.file, *models),
        Verifier(config.verify, config.prompt_style) as verifier,
    ):
        for name, problems in splits.items():
            refuse_other_problems(out, f"{PROBLEMS}/{name}.parquet", problems)
        if not (out / SUMMARY).exists():
            shown = display or Display()
            Distillation(config, out, shown, trust_remote_code, verifier).finish(splits)
            write_json(_summary(config, out), out / SUMMARY)
        summary: dict[str, Any] = read_object(out / SUMMARY, ("schema",))
        return summary


def _summary(config: DistillationConfig, out: Path) -> dict[str, Any]:
    pair = read_json(out / TEACHER / PAIR)
    base, teacher = (read_json(out / arm / ACCURACY) for arm in (BASE, TEACHER))
    rows = [
        _row(BASE, base, to_teacher(base, teacher, config)),
        _row(TEACHER, teacher, None, parameters=pair["teacher_parameters"]),
    ]
    for shape in config.shapes:
        folder = out / student_folder(shape)
        own = read_json(folder / ACCURACY)
        values = {"modules": list(shape.modules), "rank": shape.rank, **read_json(folder / STUDENT)}
        rows.append(_row(shape.name, own, to_teacher(own, teacher, config), **values))
    rollouts = rollout_summary(read_rollouts(out / TEACHER / ROLLOUTS))
    return {
        "schema": SCHEMA,
        "command": "distill",
        "package_version": __version__,
        "seed": config.seed,
        "top": config.top,
        "confidence": config.confidence,
        "base": pair["base"],
        "teacher": pair["teacher"],
        "test_problems": teacher["accuracy"]["n"],
        "rollouts": rollouts,
        "rows": rows,
    }


def _row(name: str, measured: dict[str, Any], difference: dict[str, float] | None, **values: Any) -> dict[str, Any]:
    """A row of the summary; what an arm does not have is null."""
    return {
        "name": name,
        **{key: values.get(key) for key in ("modules", "rank")},
        **{key: values.get(key) for key in ("parameters", "parameter_share", "steps")},
        "accuracy": measured["accuracy"],
        "to_teacher": difference,
        "kl": measured["kl"],
        "truncated_share": measured["truncated_share"],
    }
