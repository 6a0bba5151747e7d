"""The stages other than training, each a function of the run and of what it may write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reasonmaxxer.artifacts import write_table
from reasonmaxxer.measure.rollouts import rollout_summary
from reasonmaxxer.method.gate import Gate, resolve_gate
from reasonmaxxer.method.pool import Pool, group_rollouts, pool_warnings
from reasonmaxxer.method.scoring import score_rollouts
from reasonmaxxer.method.selection import example_table, examples_of, select_groups
from reasonmaxxer.microscope.inspection import choose_specimens, inspect_tokens, write_inspection
from reasonmaxxer.problems import problems_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.imported import import_rollouts
from reasonmaxxer.rollouts.limits import check_max_length
from reasonmaxxer.rollouts.table import Rollout, rollout_table
from reasonmaxxer.work.progress import Task
from reasonmaxxer.work.run_directory import StageWork
from reasonmaxxer.work.session import SPLITS, Session


def problems(session: Session, work: StageWork) -> None:
    """Load the three splits, refuse overlaps, and fix them as tables."""
    for name in SPLITS:
        problems = getattr(session.drawn, name)
        write_table(problems_table(problems), work.folder / f"{name}.parquet")
        work.counts[name] = len(problems)


def rollouts(session: Session, work: StageWork) -> None:
    """Sample the base on the training problems, or read rollouts made elsewhere."""
    recipe, config = session.recipe, session.recipe.rollouts
    problems = session.splits.train
    shards: list[list[Rollout]] = []

    def on_rollouts(shard: list[Rollout]) -> None:
        if not shards:
            _warn(session, shard)
        shards.append(shard)

    if config.imported:
        rollouts = import_rollouts(
            Path(config.imported),
            problems,
            session.verifier,
            session.loaded.tokenizer,
            prompt_style=recipe.problems.prompt_style,
            eos_ids=session.eos_ids,
        )
        longest = max(len(rollout.prompt_ids) for rollout in rollouts)
        check_max_length(longest, recipe.training.max_length)
        write_table(rollout_table(rollouts), work.folder / "shard-00000.parquet")
    else:
        count = len(problems) * config.rollouts_per_problem
        with session.display.task("Rollouts", count) as task:
            rollouts = session.sample(
                work, problems, work.folder, config, config.rollouts_per_problem, task, on_rollouts=on_rollouts
            )
    work.counts |= rollout_summary(rollouts)
    if len(shards) != 1:
        _warn(session, rollouts)


def signal(session: Session, work: StageWork) -> None:
    """Choose what teaches: problems, rollouts, advantages, gates."""
    config = session.recipe.signal
    groups = select_groups(group_rollouts(read_rollouts(session.directory.path / "rollouts")), config.problems)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    if any(r.entropy is None or r.logprob is None for r in rollouts):
        with session.display.task("Scoring rollouts", len(rollouts)) as task:
            rollouts = score_rollouts(rollouts, session.loaded.model, session.scoring(work, task))
    examples = examples_of(group_rollouts(rollouts), config)
    entropies = [example.entropy for example in examples]
    gates = [resolve_gate(gate, entropies, session.recipe.seed) for gate in config.gate.candidates()]
    write_table(example_table(examples), work.folder / "examples.parquet")
    work.counts = {
        "problems": len(groups),
        "sequences": len(examples),
        "tokens": sum(len(e) for e in entropies),
        "gates": [gate.to_dict() for gate in gates],
    }


def evaluation(session: Session, work: StageWork) -> None:
    """Measure base and adapted model on the test problems, the same draws for both."""
    config, test = session.recipe.evaluation, session.splits.test
    work.counts["model"] = session.loaded.identity
    count = 2 * (len(test) + config.samples * len(test[: config.sampled_problems]))
    with session.display.task("Evaluation", count) as task:
        for arm in ("base", "adapted"):
            if arm == "adapted":
                session.load_trained()
            _evaluate_arm(session, work, arm, session.trained if arm == "adapted" else None, task)


def inspection(session: Session, work: StageWork) -> None:
    """Score a few completions under both models, token by token, for the viewer."""
    chosen = choose_specimens(session.directory.path, session.examples(), session.recipe.inspection)
    gate = Gate(**session.directory.record("training")["counts"]["gate"])
    session.load_trained()
    with session.display.task("Inspection", 2 * len(chosen)) as task:
        tokens = inspect_tokens(chosen, gate, session.loaded.model, session.scoring(work, task))
    work.counts = write_inspection(tokens, session.loaded.tokenizer, work.folder)


def _evaluate_arm(session: Session, work: StageWork, arm: str, adapter: Path | None, task: Task) -> None:
    config, test = session.recipe.evaluation, session.splits.test
    greedy = config.model_copy(update={"temperature": 0.0})
    session.sample(work, test, work.folder / f"{arm}-greedy", greedy, 1, task, adapter=adapter)
    if config.samples:
        folder = work.folder / f"{arm}-sampled"
        sampled = test[: config.sampled_problems]
        session.sample(work, sampled, folder, config, config.samples, task, adapter=adapter)


def _warn(session: Session, rollouts: Sequence[Rollout]) -> None:
    """Say loudly, as soon as it can be seen, what makes rollouts a poor teacher."""
    said = pool_warnings(
        Pool.of(group_rollouts(rollouts)),
        len(session.splits.train),
        session.recipe.signal.problems,
        session.recipe.rollouts.max_new_tokens,
    )
    for text in said:
        session.display.warn(text)
