"""What a run need not do again because another run has done it."""

from __future__ import annotations

import shutil
from pathlib import Path

from reasonmaxxer.errors import UserError
from reasonmaxxer.recipe import parse_recipe
from reasonmaxxer.run_directory import RunDirectory, read_recipe_values, stages_of

SAMPLED_FROM = ("seed", "model", "problems", "verify")
"""Sections of a recipe that every completion depends on."""
SECTIONS = {
    "problems": ("seed", "problems"),
    "rollouts": (*SAMPLED_FROM, "rollouts"),
    "signal": (*SAMPLED_FROM, "rollouts", "signal"),
    "evaluation": (*SAMPLED_FROM, "evaluation"),
}
"""What a stage depends on; of the evaluation, the base's completions."""


def take_over(run: Path, directory: RunDirectory) -> None:
    """Copy the stages of another run that would come out the same, with what they cost.

    Of the evaluation only the base's completions are taken. A stage that is there already stays.

    Args:
        run: the other run's directory.
        directory: of this run.

    Raises:
        UserError: the other folder is no run directory, or nothing in it can be used.
    """
    there, here = parse_recipe(read_recipe_values(run)), directory.recipe
    equal = [
        stage
        for stage, sections in SECTIONS.items()
        if stage in stages_of(here.training.method)
        and all(getattr(there, name) == getattr(here, name) for name in sections)
        and (run / stage / "stage.json").is_file()
    ]
    if not equal:
        raise UserError(
            f"Nothing of {run} can be reused: its {', '.join(_differing(there, here))} differ, or it "
            "has not come so far."
        )
    for stage in equal:
        if stage == "evaluation":
            _copy_base(run, directory.path)
        elif not directory.is_done(stage):
            partial = directory.path / f".{stage}.reused"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(run / stage, partial)
            partial.replace(directory.path / stage)


def _copy_base(run: Path, target: Path) -> None:
    """The base's completions, as shards that are there when the evaluation begins."""
    if (target / "evaluation").exists():
        return
    for folder in sorted((run / "evaluation").glob("base-*")):
        shutil.copytree(folder, target / ".evaluation.partial" / folder.name, dirs_exist_ok=True)


def _differing(there: object, here: object) -> list[str]:
    names = dict.fromkeys(name for sections in SECTIONS.values() for name in sections)
    return [name for name in names if getattr(there, name) != getattr(here, name)]
