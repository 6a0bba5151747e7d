"""Runs of one model read as arms of one comparison: the base, and each recipe over its seeds."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import flat, read_json, read_table
from reasonmaxxer.config import Recipe, TrainingConfig, VerifyConfig
from reasonmaxxer.cost import StageCost
from reasonmaxxer.errors import UserError
from reasonmaxxer.measure.metrics import pass_at_k
from reasonmaxxer.recipe import parse_config
from reasonmaxxer.rollouts.collect import read_columns
from reasonmaxxer.work.folder import finished_run, read_claim
from reasonmaxxer.work.records import TrainingCounts

BASE = "base"
SEEDS = ("seed", "problems.train.seed")
"""Keys in which the runs of one arm may differ."""


@dataclass(frozen=True)
class Answers:
    """What one model answered on the test problems, per problem.

    Attributes:
        greedy: 1 right, 0 wrong, by problem id.
        sampled: completions drawn and those right, by problem id; empty where none were drawn.
        truncated: share of all completions cut at the length limit.
        tokens: of a greedy completion, mean.
        flops: of a greedy completion and its prompt, by formula: its share of the evaluation's, by tokens read.
    """

    greedy: dict[str, float]
    sampled: dict[str, tuple[int, int]]
    truncated: float
    tokens: float = 0.0
    flops: float = 0.0

    @property
    def drawn(self) -> int:
        """Sampled completions of all problems."""
        return sum(n for n, _ in self.sampled.values())


@dataclass(frozen=True)
class Point:
    """A checkpoint: what the run had cost by then, and its outcome on each validation problem."""

    step: int
    cost: StageCost
    correct: dict[str, float]


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        path: its folder.
        recipe: resolved values.
        model: as in `summary.json`.
        base: answers of the base.
        adapted: the adapted model's.
        cost: of everything up to the last checkpoint: rollouts, signal, training.
        validation: of trying checkpoints on the validation problems.
        curve: the checkpoints of the chosen gate, in order.
    """

    path: Path
    recipe: dict[str, Any]
    model: dict[str, Any]
    base: Answers
    adapted: Answers
    cost: StageCost
    validation: StageCost
    curve: list[Point]


@dataclass(frozen=True)
class Arm:
    """A model, or one recipe with several seeds; arrays are over problems, means over seeds.

    Attributes:
        name: unique in the comparison.
        answers: of each seed.
        seeds: in the order of `answers`.
        runs: of which the base has none.
    """

    name: str
    answers: list[Answers]
    seeds: list[int]
    runs: list[Run]

    def greedy(self, problems: Sequence[str]) -> np.ndarray:
        """Outcomes [seeds, problems]."""
        return np.array([[a.greedy[p] for p in problems] for a in self.answers])

    def samples(self, problems: Sequence[str]) -> int:
        """Completions that every seed drew of each of the problems."""
        return min(a.sampled.get(p, (0, 0))[0] for a in self.answers for p in problems)

    def pass_at(self, k: int, problems: Sequence[str]) -> np.ndarray:
        """Unbiased pass@k [problems], mean over seeds."""
        rows = [[pass_at_k(*a.sampled[p], k) for p in problems] for a in self.answers]
        found: np.ndarray = np.array(rows).mean(0)
        return found


def read_arms(paths: Sequence[Path]) -> list[Arm]:
    """The base, then one arm a recipe, in the order given; runs that differ in the seed are one.

    Raises:
        UserError: a folder is no finished run, a run is named twice, or runs differ in their model,
            problems or protocol.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("A run is named twice: each counts once.")
    if not paths:
        raise UserError("compare takes at least one run, and holds evaluations against it.")
    runs = [_read(path) for path in paths]
    for run in runs[1:]:
        _refuse_unlike(runs[0], run)
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        alike = {key: value for key, value in flat(run.recipe).items() if key not in SEEDS}
        groups[json.dumps(alike, sort_keys=True)].append(run)
    arms = [_base(runs)]
    for name, members in zip(_names([members[0] for members in groups.values()]), groups.values(), strict=True):
        seeds = [run.recipe["seed"] for run in members]
        if len(set(seeds)) < len(seeds):
            where = " and ".join(str(run.path) for run in members)
            raise UserError(f"{where} are runs of one recipe with one seed: name one of them.")
        arms.append(Arm(name, [run.adapted for run in members], seeds, members))
    return arms


def _base(runs: Sequence[Run]) -> Arm:
    """The base, once a seed: a seed draws the same completions of it in every run, so the most count."""
    by_seed: dict[int, Answers] = {}
    for run in runs:
        seed = run.recipe["seed"]
        if seed not in by_seed or run.base.drawn > by_seed[seed].drawn:
            by_seed[seed] = run.base
    most = max(answers.drawn for answers in by_seed.values())
    kept = {seed: answers for seed, answers in by_seed.items() if answers.drawn == most}
    return Arm(BASE, list(kept.values()), list(kept), [])


def _read(path: Path) -> Run:
    summary, values = finished_run(path)
    recipe = parse_config(Recipe, values, str(path / "recipe.yaml")).model_dump(mode="json")
    record = read_json(path / "training" / "stage.json")
    counts: TrainingCounts = record["counts"]
    stages = [path / stage / "stage.json" for stage in ("rollouts", "signal")]
    before = [StageCost(**read_json(stage)["cost"]) for stage in stages if stage.is_file()]
    spent = _cost_at(max(counts["checkpoints"], key=lambda c: c["seconds"]))
    return Run(
        path=path,
        recipe=recipe,
        model=summary["model"],
        base=_answers(path / "evaluation", "base"),
        adapted=_answers(path / "evaluation", "adapted"),
        cost=reduce(add, [*before, spent]),
        validation=StageCost(**record["cost"]) - spent,
        curve=_curve(path, counts, before),
    )


def _curve(path: Path, counts: TrainingCounts, before: list[StageCost]) -> list[Point]:
    """The checkpoints of the chosen gate; a baseline has no gates."""
    chosen = counts["gate_number"]
    correct: dict[int, dict[str, float]] = defaultdict(dict)
    for row in read_table(path / "training" / "validation.parquet").to_pylist():
        if row["gate"] == chosen:
            correct[row["step"]][row["problem_id"]] = float(row["correct"])
    return [
        Point(c["step"], reduce(add, [*before, _cost_at(c)]), correct[c["step"]])
        for c in counts["checkpoints"]
        if c["gate"] == chosen
    ]


def _cost_at(checkpoint: Mapping[str, Any]) -> StageCost:
    """What the training stage had cost at a checkpoint of its record."""
    return StageCost(**{k: v for k, v in checkpoint.items() if k not in ("gate", "step")})


def _answers(folder: Path, arm: str) -> Answers:
    columns = ("problem_id", "outcome", "finish_reason", "prompt_ids", "completion_ids")
    greedy = read_columns(folder / f"{arm}-greedy", columns)
    drawn = read_columns(folder / f"{arm}-sampled", columns)
    counts = Counter(row["problem_id"] for row in drawn)
    right = Counter(row["problem_id"] for row in drawn if row["outcome"] == "correct")
    return Answers(
        {row["problem_id"]: float(row["outcome"] == "correct") for row in greedy},
        {problem: (count, right[problem]) for problem, count in counts.items()},
        float(np.mean([row["finish_reason"] == "length" for row in greedy + drawn])),
        float(np.mean([len(row["completion_ids"]) for row in greedy])),
        _flops_per_token(folder) * _tokens(greedy) / len(greedy),
    )


def _flops_per_token(folder: Path) -> float:
    """What an evaluation has cost for each token of its prompts and completions."""
    columns = ("problem_id", "prompt_ids", "completion_ids")
    read = sum(_tokens(read_columns(arm, columns)) for arm in folder.iterdir())
    return float(read_json(folder / "stage.json")["cost"]["flops"]) / read


def _tokens(rows: Sequence[Mapping[str, Any]]) -> int:
    """Tokens of completions, and of the prompts, which are read once."""
    prompts = {row["problem_id"]: len(row["prompt_ids"]) for row in rows}
    return sum(prompts.values()) + sum(len(row["completion_ids"]) for row in rows)


def _refuse_unlike(one: Run, other: Run) -> None:
    """Say what keeps two runs from being compared, if anything does."""

    def refuse(what: str, first: Any, second: Any) -> None:
        raise UserError(
            f"{one.path} and {other.path} differ in their {what} ({first} and {second}): they cannot be compared."
        )

    for name in ("fingerprint", "dtype"):
        if one.model[name] != other.model[name]:
            refuse("model", *(f"{run.model['name']}, {run.model[name]}" for run in (one, other)))
    if list(one.base.greedy) != list(other.base.greedy):
        strange = sorted(set(one.base.greedy) ^ set(other.base.greedy)) or ["another order"]
        refuse("test problems", f"{len(one.base.greedy)} problems", f"{len(other.base.greedy)}, such as {strange[0]}")
    asked, theirs = (asked_in(run.path / "problems" / "test.parquet") for run in (one, other))
    for problem, first in asked.items():
        if first != theirs[problem]:
            refuse(f"test problem {problem}", first, theirs[problem])
    for key in (
        "problems.prompt_style", "verify.extraction", "verify.function", "evaluation.temperature",
        "evaluation.top_p", "evaluation.max_new_tokens", "evaluation.stop",
    ):  # fmt: skip
        section, name = key.split(".")
        first, second = (run.recipe[section][name] for run in (one, other))
        if first != second:
            refuse(f"protocol, {key}", first, second)
    verifier = VerifyConfig(**one.recipe["verify"]).file or ""
    graders = [read_claim(run.path).contents.get(verifier) for run in (one, other)]
    if all(graders) and graders[0] != graders[1]:
        refuse(f"verifier {verifier}, which was edited between them", *graders)


def asked_in(table: Path) -> dict[str, tuple[str, str]]:
    """Text and answer of each problem of a table, by id."""
    rows = read_table(table, ("id", "text", "answer")).to_pylist()
    return {row["id"]: (row["text"], row["answer"]) for row in rows}


def _names(runs: Sequence[Run]) -> list[str]:
    """A name for each run's recipe: its method, and where that is not enough the keys that differ."""
    methods = [_method_of(run.recipe) for run in runs]
    recipes = [flat(run.recipe) for run in runs]
    names = []
    for method, recipe in zip(methods, recipes, strict=True):
        alike = [other for other, of in zip(recipes, methods, strict=True) if of == method]
        differing = [key for key in recipe if key not in SEEDS and any(o.get(key) != recipe[key] for o in alike)]
        told = [key for key in differing if key != "training.checkpoints"]  # says nothing of what is learnt
        shown = ", ".join(f"{key.rpartition('.')[2]} {recipe[key]}" for key in told or differing)
        names.append(f"{method} ({shown})" if shown else method)
    return names


def _method_of(recipe: Mapping[str, Any]) -> str:
    method, rounds = name_of(TrainingConfig(**recipe["training"])), recipe["rounds"]
    return f"{method}, {rounds} rounds" if rounds > 1 else method


def name_of(config: TrainingConfig) -> str:
    """How people call a method, with what sets it apart."""
    if config.method == "reasonmaxxer":
        return "ReasonMaxxer"
    name, share = config.method.upper(), config.baseline.top_entropy_quantile
    return f"{name}, top {share:.0%} of tokens" if config.method == "grpo" and share < 1 else name
