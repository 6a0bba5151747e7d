"""What the base scores without training, sampled otherwise: finished evaluations beside the runs of a comparison."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reasonmaxxer.artifacts import read_object, read_table
from reasonmaxxer.config import SuiteConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.arms import Run, asked_in
from reasonmaxxer.measure.suite import pass_rates
from reasonmaxxer.measure.votes import majority_at, voting
from reasonmaxxer.problems.table import problems_from_table
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.verify import Verifier
from reasonmaxxer.work.folder import SUMMARY, open_workspace, read_record, refuse_unfinished

PROBLEMS = "problems.parquet"


@dataclass(frozen=True)
class Rival:
    """One way to answer the test problems.

    Attributes:
        name: of the way.
        folder: of the evaluation; None of an arm.
        right_P: share of right answers to each test problem.
        tokens: sampled for one answer, votes and rejected proposals included.
        flops: likewise, by formula.
    """

    name: str
    folder: Path | None
    right_P: np.ndarray
    tokens: float
    flops: float


def read_rivals(folders: Sequence[Path], run: Run) -> list[Rival]:
    """The ways of some finished evaluations: single completions, and majority votes where they have a k.

    Args:
        folders: of `evaluate`.
        run: whose base and test problems they must share.

    Raises:
        UserError: one is unfinished, measured another model, was asked otherwise, or lacks test problems of the run.
    """
    return [rival for folder in folders for rival in _read(folder, run)]


def _read(folder: Path, run: Run) -> Iterator[Rival]:
    claim = open_workspace(folder)
    refuse_unfinished(folder, "evaluate")
    config = parse_config(SuiteConfig, dict(claim.config), str(folder))
    _refuse_unlike(folder, config, run)
    asked = asked_in(run.path / "problems" / "test.parquet")
    stage = next((s for s in claim.stages if asked.items() <= asked_in(folder / s / PROBLEMS).items()), None)
    if stage is None:
        raise UserError(
            f"{folder} lacks some of the {len(asked)} test problems of {run.path}: evaluate those that the run's "
            "recipe.yaml names, as problems={source: ..., split: ..., limit: ..., seed: ...}."
        )
    by_id = {problem.id: problem for problem in problems_from_table(read_table(folder / stage / PROBLEMS))}
    problems = [by_id[name] for name in run.base.greedy]
    made, cost = read_rollouts(folder / stage / "rollouts"), read_record(folder, stage)["cost"]
    tokens, flops = cost["tokens"] / len(made), cost["flops"] / len(made)
    rollouts, way = [rollout for rollout in made if rollout.problem_id in asked], _way(config)
    samples = len(rollouts) // len(problems)
    yield Rival(f"{way}, avg@{samples}" if samples > 1 else way, folder, pass_rates(problems, rollouts), tokens, flops)
    ks = voting(config.ks, problems, config.verify)
    with Verifier(config.verify, config.prompt_style) as verifier:
        for k, right_P in zip(ks, majority_at(ks, problems, rollouts, verifier.grade_answers), strict=True):
            yield Rival(f"{way}, maj@{k}", folder, right_P, k * tokens, k * flops)


def _way(config: SuiteConfig) -> str:
    """How people call a way to sample."""
    if config.power.cuts != "none":
        return f"power sampling, {config.power.cuts} cuts, alpha {1 / config.temperature:g}"
    return f"temperature {config.temperature:g}, top-p {config.top_p:g}" if config.temperature else "greedy"


def _refuse_unlike(folder: Path, config: SuiteConfig, run: Run) -> None:
    """Say what keeps an evaluation from being compared with a run, if anything does."""
    model, recipe = read_object(folder / SUMMARY, ("model",))["model"], run.recipe
    pairs = {
        **{f"model {name}": [model[name], run.model[name]] for name in ("fingerprint", "dtype")},
        "prompt_style": [config.prompt_style, recipe["problems"]["prompt_style"]],
        "verify.extraction": [config.verify.extraction, recipe["verify"]["extraction"]],
        "verify.function": [config.verify.function, recipe["verify"]["function"]],
        "max_new_tokens": [config.max_new_tokens, recipe["evaluation"]["max_new_tokens"]],
        "stop": [list(config.stop), list(recipe["evaluation"]["stop"])],
    }
    for name, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise UserError(
                f"{folder} and {run.path} differ in {name} ({mine} and {theirs}): they cannot be compared."
            )
