"""What a run need not do again because another run has done it."""

from __future__ import annotations

import shutil
from functools import reduce
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_table
from reasonmaxxer.config import Recipe
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import problems_table
from reasonmaxxer.recipe import parse_recipe
from reasonmaxxer.work.run_directory import changed_since, open_run, stages_of
from reasonmaxxer.work.session import SPLITS, Session

SAMPLED_FROM = ("seed", "model", "problems", "verify")
"""Keys that every completion depends on; a section is all of its keys."""
ANSWERS = (
    *SAMPLED_FROM,
    "evaluation.max_new_tokens",
    *(f"rollouts.{name}" for name in ("engine", "batch_size", "rollouts_per_shard")),
)
"""Keys that the base's greedy answers depend on, or how they lie in shards."""
SAMPLES = tuple(f"evaluation.{name}" for name in ("temperature", "top_p", "samples", "sampled_problems"))
STAGE_KEYS = {
    "problems": ("seed", "problems"),
    "rollouts": (*SAMPLED_FROM, "rollouts"),
    "signal": (*SAMPLED_FROM, "rollouts", "signal"),
    "training": (*ANSWERS, "rollouts", "signal", "training"),
}
"""Keys that a stage depends on."""
COMPLETION_KEYS = {
    "base-greedy": ANSWERS,
    "base-sampled": (*ANSWERS, *SAMPLES),
    "adapted-greedy": STAGE_KEYS["training"],
    "adapted-sampled": (*STAGE_KEYS["training"], *SAMPLES),
}
"""Keys that a folder of the evaluation depends on."""


def take_over(run: Path, session: Session) -> None:
    """Copy what another run has done that would come out the same: stages, with what they cost, and
    completions of the test problems. A stage that is there already stays.

    Args:
        run: the other run's directory.
        session: this run.

    Raises:
        UserError: the other folder is no run directory, nothing in it can be used, or a file that it read
            was edited since.
    """
    directory = session.directory
    there, here = parse_recipe(open_run(run)), directory.recipe
    stages = [
        stage
        for stage, keys in STAGE_KEYS.items()
        if stage in stages_of(here.training.method)
        and _equal(there, here, keys)
        and (run / stage / "stage.json").is_file()
    ]
    completions = [
        name
        for name, keys in COMPLETION_KEYS.items()
        if _equal(there, here, keys) and (run / "evaluation" / name).is_dir()
    ]
    if not stages and not completions:
        raise UserError(
            f"Nothing of {run} can be reused: its {', '.join(_differing(there, here))} differ, or it "
            "has not come so far."
        )
    edited = [*changed_since(run, here), *_other_problems(run, session)]
    if edited:
        raise UserError(
            f"{run} cannot be reused: {', '.join(edited)} had other content when it was made. Leave out "
            "--reuse, or give back what it was made with."
        )
    for stage in stages:
        if not directory.is_done(stage):
            partial = directory.path / f".{stage}.reused"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(run / stage, partial)
            partial.replace(directory.path / stage)
    if not (directory.path / "evaluation").exists():
        for name in completions:
            # shards that are there when the evaluation begins
            partial = directory.path / ".evaluation.partial" / name
            shutil.copytree(run / "evaluation" / name, partial, dirs_exist_ok=True)


def _other_problems(run: Path, session: Session) -> list[str]:
    """Splits that another run, of the same sources, has other problems in."""
    done = session.directory.is_done("problems")
    here = session.splits if done else session.drawn
    paths = {name: run / "problems" / f"{name}.parquet" for name in SPLITS}
    return [
        f"problems.{name}"
        for name, path in paths.items()
        if path.is_file() and read_table(path) != problems_table(getattr(here, name))
    ]


def _equal(there: Recipe, here: Recipe, keys: tuple[str, ...]) -> bool:
    return all(_value(there, key) == _value(here, key) for key in keys)


def _value(recipe: Recipe, key: str) -> Any:
    return reduce(getattr, key.split("."), recipe)


def _differing(there: Recipe, here: Recipe) -> list[str]:
    """Why not even the problems are the same."""
    return [key for key in STAGE_KEYS["problems"] if not _equal(there, here, (key,))]
