"""The main job, `reasonmaxxer run`: the ring's stages, then viewer, page and what may be shared."""

from pathlib import Path

from typing_extensions import Unpack

from reasonmaxxer.config import Recipe
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.microscope.inspection import choose_specimens, inspect_tokens, write_inspection
from reasonmaxxer.report.page import write_report
from reasonmaxxer.share.hub import write_hub_folder
from reasonmaxxer.work import run as ring
from reasonmaxxer.work.folder import REPORT
from reasonmaxxer.work.job import Job
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.records import SignalCounts, TrainingCounts
from reasonmaxxer.work.sampling import count_scored
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.summary import RunSummary
from reasonmaxxer.work.workspace import Options


def run(recipe: Recipe, out: Path, display: Display | None = None, **options: Unpack[Options]) -> RunSummary:
    """`work.run.run`, then `hub/` and, of ReasonMaxxer's own method, `inspection/` and `report.html`.

    Args:
        recipe: what to do; `training.method` says by which method.
        out: the run directory.
        display: where progress shows; none is silent.
        **options: as of every command.

    Returns:
        What `out/summary.json` holds.

    Raises:
        UserError: bad input, or a pool of problems that nothing can be learnt from.
    """
    shown = recipe.training.method == "reasonmaxxer"
    inputs = ("rollouts", "signal", "training", "evaluation")
    also: ring.Stages = {"inspection": (inputs, inspection)} if shown else {}

    def after(folder: Path) -> None:
        if shown and not (folder / REPORT).exists():
            write_report(folder)
        write_hub_folder(folder)

    return ring.run(recipe, out, display, also, after, **options)


def inspection(job: Job, work: StageWork) -> None:
    """Score a few completions under both models, token by token, for the viewer."""
    training: TrainingCounts = job.workspace.counts("training")
    signal: SignalCounts = job.workspace.counts("signal")
    # as fixed over the base's rollouts, which are shown: a later round has one of its own
    gate, model = Gate(**signal["gates"][training["gate_number"]]), job.model
    chosen = choose_specimens(job.workspace.path, job.examples(), job.recipe.inspection)
    job.load_trained()
    with job.display.task("Inspection", 2 * len(chosen)) as task:
        tokens = inspect_tokens(chosen, gate, model.model, count_scored(work, model.flops, task))
    work.counts = write_inspection(tokens, model.loaded.tokenizer, work.folder)
