"""The main job: problems, rollouts, signal, training, evaluation, inspection, report.

Every stage is a plain function elsewhere; here they are put in order, given their configs, measured,
and made to survive a kill. `run` is the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_object, write_json
from reasonmaxxer.config import Recipe
from reasonmaxxer.report.page import write_report
from reasonmaxxer.work import stages
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.reuse import take_over
from reasonmaxxer.work.run_directory import REPORT, SUMMARY, StageWork, open_run, stages_of
from reasonmaxxer.work.session import Session
from reasonmaxxer.work.summary import summarise
from reasonmaxxer.work.training import training


def run(
    recipe: Recipe,
    out: Path,
    *,
    display: Display | None = None,
    reuse: Path | None = None,
    trust_remote_code: bool = False,
) -> dict[str, Any]:
    """Run a recipe in a folder, from wherever an earlier attempt stopped.

    Args:
        recipe: what to do; `training.method` says by which method.
        out: the run directory.
        display: where progress shows; none is silent.
        reuse: another run, whose stages are taken over where the same would be done again.
        trust_remote_code: let the model's repository run its own code.

    Returns:
        What `out/summary.json` holds.

    Raises:
        UserError: bad input, or a pool of problems that nothing can be learnt from.
    """
    session = Session(recipe, out, display or Display(), trust_remote_code, reuse)
    directory = session.directory
    written = directory.path / SUMMARY
    with directory.lock(), session.verifier:
        open_run(directory.path)
        if reuse and not written.exists():
            take_over(reuse, session)
        _run_stages(session)
        if not written.exists():
            write_json(summarise(directory, session.environment, session.price), written)
        if recipe.training.method == "reasonmaxxer" and not (directory.path / REPORT).exists():
            write_report(directory.path)
        summary: dict[str, Any] = read_object(written, ("schema",))
        return summary


def _run_stages(session: Session) -> None:
    """Every stage in order, with those it reads from."""
    order: tuple[tuple[str, tuple[str, ...], Callable[[Session, StageWork], None]], ...] = (
        ("problems", (), stages.problems),
        ("rollouts", ("problems",), stages.rollouts),
        ("signal", ("rollouts",), stages.signal),
        ("training", ("problems", "signal"), training),
        ("evaluation", ("problems", "training"), stages.evaluation),
        ("inspection", ("rollouts", "signal", "training", "evaluation"), stages.inspection),
    )
    stages_now = stages_of(session.recipe.training.method)
    for name, inputs, work in order:
        if name in stages_now:
            needed = tuple(stage for stage in inputs if stage in stages_now)
            session.directory.run_stage(name, needed, partial(_staged, session, work))


def _staged(session: Session, work: Callable[[Session, StageWork], None], done: StageWork) -> None:
    """A stage's work, at whose end nothing samples any more."""
    try:
        work(session, done)
    finally:
        session.close_engine()
