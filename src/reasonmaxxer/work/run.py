"""The ring of the main job: problems, rollouts, signal, training, evaluation, in order, and their figures.

Every stage is a plain function elsewhere; here they are put in order, given their configs, measured, and made
to survive a kill. The token viewer and the page of `reasonmaxxer run` are added in `work/main_job.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from typing_extensions import Unpack

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import Recipe
from reasonmaxxer.work.folder import SUMMARY
from reasonmaxxer.work.job import SPLITS, Job, open_job, ring_stages
from reasonmaxxer.work.progress import Display
from reasonmaxxer.work.reuse import take_over
from reasonmaxxer.work.stage_work import StageWork
from reasonmaxxer.work.stages import evaluation, problems, rollouts, signal
from reasonmaxxer.work.summary import RunSummary, summarise
from reasonmaxxer.work.training import training
from reasonmaxxer.work.workspace import Options

StageFunction = Callable[[Job, StageWork], None]

Stages = Mapping[str, tuple[Sequence[str], StageFunction]]
"""By name: what a stage reads, and the function that does its work."""
RING: Stages = {
    "problems": ((), problems),
    "rollouts": (("problems",), rollouts),
    "signal": (("rollouts",), signal),
    "training": (("problems", "signal"), training),
    "evaluation": (("problems", "training"), evaluation),
}

SAMPLED_FROM = ("seed", "model", "problems", "verify")
"""Keys that every completion depends on."""
ANSWERS = (
    *SAMPLED_FROM,
    *("evaluation.max_new_tokens", "evaluation.stop"),
    *(f"rollouts.{name}" for name in ("engine", "batch_size", "rollouts_per_shard")),
)
"""Keys that the base's greedy answers depend on, or how they lie in shards."""
SAMPLES = tuple(f"evaluation.{name}" for name in ("temperature", "top_p", "samples", "sampled_problems"))
TRAINED_BY = (*ANSWERS, "rounds", "rollouts", "signal", "training")
DEPENDS = {
    "problems": ("seed", "problems"),
    "rollouts": (*SAMPLED_FROM, "rollouts"),
    "signal": (*SAMPLED_FROM, "rollouts", "signal"),
    "training": TRAINED_BY,
    "evaluation/base-greedy": ANSWERS,
    "evaluation/base-sampled": (*ANSWERS, *SAMPLES),
    "evaluation/adapted-greedy": TRAINED_BY,
    "evaluation/adapted-sampled": (*TRAINED_BY, *SAMPLES),
}
"""Keys that a stage, or a folder of completions within one, depends on: what `--reuse` goes by."""


def run(
    recipe: Recipe,
    out: Path,
    display: Display | None = None,
    also: Stages | None = None,
    after: Callable[[Path], None] | None = None,
    **options: Unpack[Options],
) -> RunSummary:
    """Run a recipe in a folder, from wherever an earlier attempt stopped.

    Args:
        recipe: what to do; `training.method` says by which method.
        out: the run directory.
        display: where progress shows; none is silent.
        also: stages that come after those of the ring, as in `RING`.
        after: called with the folder of the finished run, which no other process may enter yet.
        **options: as of every command.

    Returns:
        What `out/summary.json` holds.

    Raises:
        UserError: bad input, or a pool of problems that nothing can be learnt from.
    """
    functions = {name: RING[name] for name in ring_stages(recipe.training.method)} | dict(also or {})
    job, reuse = open_job(recipe, out, display or Display(), tuple(functions), **options), options.get("reuse")
    workspace = job.workspace
    with workspace.lock(), job.verifier:
        if reuse and not workspace.summary:
            reuse_run(reuse, job)
        for name, (inputs, function) in functions.items():
            run_stage(job, name, inputs, function)
        if not workspace.summary:
            write_json(summarise(workspace, job.environment), workspace.path / SUMMARY)
        if after:
            after(workspace.path)
        return cast(RunSummary, workspace.summary)


def run_stage(job: Job, name: str, inputs: Sequence[str], function: StageFunction) -> None:
    """Do one stage, at whose end nothing samples any more."""

    def work(stage: StageWork) -> None:
        try:
            function(job, stage)
        finally:
            job.model.close()

    job.workspace.run_stage(name, [stage for stage in inputs if stage in job.workspace.stages], work)


def reuse_run(there: Path, job: Job) -> None:
    """Take over what another run has done that would come out the same; a stage that is there stays.

    Raises:
        UserError: as by `take_over`.
    """
    splits = job.drawn or job.splits
    tables = {f"problems/{name}.parquet": getattr(splits, name) for name in SPLITS}
    depends = {name: keys for name, keys in DEPENDS.items() if name.partition("/")[0] in job.workspace.stages}
    take_over(there, job.workspace, depends, tables)
