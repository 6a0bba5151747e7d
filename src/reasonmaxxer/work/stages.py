"""The stages of a run other than training, each a function of the job and of what it may write."""

from collections.abc import Sequence
from pathlib import Path

from reasonmaxxer.artifacts import write_table
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.pool import Pool, group_rollouts, pool_warnings
from reasonmaxxer.method.selection import example_table
from reasonmaxxer.problems import problems_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.limits import check_max_length
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.work.job import SPLITS, Job
from reasonmaxxer.work.records import EvaluationCounts, SignalCounts
from reasonmaxxer.work.rounds import gates_over, round_problems, teaching
from reasonmaxxer.work.sampling import greedily
from reasonmaxxer.work.stage_work import StageWork


def problems(job: Job, work: StageWork) -> None:
    """Fix the three splits as tables."""
    assert job.drawn  # as long as this stage has not been done
    for name in SPLITS:
        write_table(problems_table(getattr(job.drawn, name)), work.folder / f"{name}.parquet")
    work.counts = {name: len(getattr(job.drawn, name)) for name in SPLITS}


def rollouts(job: Job, work: StageWork) -> None:
    """Sample the base on the training problems, or read rollouts made elsewhere."""
    config = job.recipe.rollouts
    problems = round_problems(job.splits.train, config.problems, 1, job.recipe.seed)
    shards: list[list[Rollout]] = []

    def on_rollouts(shard: list[Rollout]) -> None:
        if not shards:  # what makes a poor teacher is said as soon as it can be seen
            _warn(job, shard, len(problems))
        shards.append(shard)

    if config.imported:
        rollouts = _imported(job, Path(config.imported))
        write_table(rollout_table(rollouts), work.folder / "shard-00000.parquet")
    else:
        each = config.rollouts_per_problem
        with job.display.task("Rollouts", len(problems) * each) as task:
            base = job.model.respondent()
            rollouts = job.examiner.ask(base, problems, config, each, work, work.folder, task, on_rollouts)
    work.counts = rollout_summary(rollouts)
    if len(shards) != 1:
        _warn(job, rollouts, len(problems))


def signal(job: Job, work: StageWork) -> None:
    """Choose what teaches: problems, rollouts, advantages, gates."""
    examples = teaching(group_rollouts(read_rollouts(job.workspace.path / "rollouts")), job, work)
    write_table(example_table(examples), work.folder / "examples.parquet")
    work.counts = SignalCounts(
        problems=len({example.problem_id for example in examples}),
        sequences=len(examples),
        tokens=sum(len(example.entropy) for example in examples),
        gates=[gate.to_dict() for gate in gates_over(examples, job)],
    )


def evaluation(job: Job, work: StageWork) -> None:
    """Measure base and adapted model on the test problems, the same draws for both."""
    config, test = job.recipe.evaluation, job.splits.test
    sampled = test[: config.sampled_problems]
    work.counts = EvaluationCounts(model=job.model.loaded.identity)
    with job.display.task("Evaluation", 2 * (len(test) + config.samples * len(sampled))) as task:
        for arm, adapter in (("base", None), ("adapted", job.trained)):
            if adapter:
                job.load_trained()
            asked, ask, folder = job.model.respondent(adapter), job.examiner.ask, work.folder
            ask(asked, test, greedily(config), 1, work, folder / f"{arm}-greedy", task)
            if config.samples:
                ask(asked, sampled, config, config.samples, work, folder / f"{arm}-sampled", task)


def _imported(job: Job, path: Path) -> list[Rollout]:
    """Rollouts made elsewhere, graded."""
    rollouts = import_rollouts(
        path,
        job.splits.train,
        job.verifier,
        job.model.loaded.tokenizer,
        prompt_style=job.recipe.problems.prompt_style,
        eos_ids=job.model.eos_ids,
    )
    check_max_length(max(len(rollout.prompt_ids) for rollout in rollouts), job.recipe, "training.max_length")
    return rollouts


def _warn(job: Job, rollouts: Sequence[Rollout], problems: int) -> None:
    """Say what makes rollouts of so many problems a poor teacher."""
    said = pool_warnings(
        Pool.of(group_rollouts(rollouts)),
        problems,
        1 if job.recipe.rollouts.problems else job.recipe.signal.problems,
        job.recipe.rollouts.max_new_tokens,
    )
    for text in said:
        job.display.warn(text)
