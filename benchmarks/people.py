"""Word problems that people wrote: what teaches a model that hardly ever solves them?

    python benchmarks/people.py --mawps mawps.jsonl --svamp svamp.jsonl --out DIR [--json FILE]

The one-step part of MAWPS (column `subject` is `singleop`) is cut into two halves: pools of training
problems come from one, the test problems from the other; SVAMP is another test. Every plan has the default
recipe's hyperparameters:

- `people`: a pool twice the default's, one round
- `people, longer limit`: the same with rollouts of up to twice as many tokens
- `templates`: the default run's generated problems
- `templates, then people`: a second round, whose base is the model of `templates`, merged, and whose
  pool is that of `people`

Prints how much of each pool teaches, and the greedy accuracy of every plan. What is finished is kept in
DIR: the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from variants import Bench

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import SourceConfig
from reasonmaxxer.measure.metrics import bootstrap
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.pool import Pool, group_rollouts
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.draw import shuffled
from reasonmaxxer.problems.files import file_problems
from reasonmaxxer.problems.text import normalise
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier

POOL, TEST = 120, 100
PLANS = ("people", "people, longer limit", "templates", "templates, then people")


def one_step(path: str) -> tuple[list[Problem], list[Problem]]:
    """Both halves of the one-step problems of MAWPS, without texts that occur in the other."""
    everything = file_problems(SourceConfig(source=path), "mawps")
    singles = shuffled([p for p in everything if p.domain == "singleop"], 0)
    half = len(singles) // 2
    test = singles[half:]
    known = {normalise(p.text) for p in test}
    return [p for p in singles[:half] if normalise(p.text) not in known], test


class Plans:
    """One seed of all plans.

    Args:
        bench: the base and its folder; it measures on `tests`.
        train: problems to draw a pool from.
    """

    def __init__(self, bench: Bench, train: Sequence[Problem]) -> None:
        self.bench = bench
        self.people = shuffled(train, bench.seed)[:POOL]

    def run(self, plan: str) -> dict[str, Any]:
        """Train a plan and answer the test problems, unless that was done before."""
        done = self.bench.out / f"{plan.replace(', ', '-').replace(' ', '-')}.json"
        if not done.exists():
            found = {"plan": plan, "seed": self.bench.seed, "base": self.bench.base}
            write_json(found | self._teach(plan), done)
        result: dict[str, Any] = read_json(done)
        return result

    def _teach(self, plan: str) -> dict[str, Any]:
        if plan == "templates":
            return self._round(self.bench.rollouts(60))
        if plan == "people":
            return self._round(self._pool("people"))
        if plan == "people, longer limit":
            return self._round(self._pool("people-longer", longer=2))
        self._train(self.bench.rollouts(60), "first")
        self.bench.loaded.model = self.bench.loaded.model.merge_and_unload()
        self.bench.base_states = BaseStates()  # another base from here on
        return self._round(self._pool("people-second"))

    def _pool(self, name: str, longer: int = 1) -> list[Rollout]:
        """Rollouts of the model as it stands, graded and kept."""
        config = self.bench.recipe.rollouts
        config = config.model_copy(update={"max_new_tokens": longer * config.max_new_tokens})
        each = config.rollouts_per_problem
        return self.bench.sample(self.people, config, each, self.bench.out / name)

    def _train(self, rollouts: Sequence[Rollout], name: str) -> int:
        history = self.bench.teach(self.bench.recipe, rollouts, self.bench.out / f"train-{name}")
        return len(history)

    def _round(self, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        pool = asdict(Pool.of(group_rollouts(rollouts)))
        steps = self._train(rollouts, "last")
        answers = self.bench.answers()
        self.bench.loaded.model = self.bench.loaded.model.unload()
        return {"pool": pool, "steps": steps, **answers}


def pool_table(results: Sequence[dict[str, Any]]) -> Table:
    """How much of each pool teaches, by seed."""
    table = Table(title="What the pools hold, by seed")
    for column in ("plan", "problems", "right", "mixed", "cut", "steps"):
        table.add_column(column)
    for plan in PLANS:
        found = [r for r in results if r["plan"] == plan]
        pools = [r["pool"] for r in found]
        table.add_row(
            plan,
            ", ".join(str(p["problems"]) for p in pools),
            ", ".join(f"{p['pass_rate']:.0%}" for p in pools),
            ", ".join(f"{p['mixed'] / p['problems']:.0%}" for p in pools),
            ", ".join(f"{p['truncated']:.0%}" for p in pools),
            ", ".join(str(r["steps"]) for r in found),
        )
    return table


def accuracy_table(results: Sequence[dict[str, Any]], tests: dict[str, slice]) -> Table:
    """Greedy accuracy of every plan on every test set, and the difference to the base."""
    table = Table(title="Greedy accuracy, by seed")
    for column in ("test", "plan", "accuracy", "mean", "minus base", "cut"):
        table.add_column(column)
    for name, part in tests.items():
        base = np.mean([r["base"][part] for r in results])
        table.add_row(name, "base", "", f"{base:.3f}", "", "")
        for plan in PLANS:
            row = summary([r for r in results if r["plan"] == plan], part)
            table.add_row(
                name,
                plan,
                ", ".join(f"{a:.2f}" for a in row["accuracies"]),
                f"{row['accuracy']:.3f}",
                f"{row['value']:+.3f} \\[{row['low']:+.3f}, {row['high']:+.3f}]",
                f"{row['cut']:.0%}",
            )
    return table


def summary(results: Sequence[dict[str, Any]], part: slice) -> dict[str, Any]:
    """One plan on one test set; the interval is over problems, each with its mean over the seeds."""
    base, adapted = (np.array([r[arm][part] for r in results], dtype=float) for arm in ("base", "adapted"))
    difference = bootstrap((adapted - base).mean(0), 10_000, 0.95, 0)
    return {
        "accuracies": adapted.mean(1).tolist(),
        "accuracy": float(adapted.mean()),
        "cut": float(np.mean([r["cut"] for r in results])),
        **difference,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mawps", required=True, help="JSON Lines with problem, answer, subject")
    parser.add_argument("--svamp", required=True, help="JSON Lines with problem, answer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    train, test = one_step(arguments.mawps)
    transfer = shuffled(file_problems(SourceConfig(source=arguments.svamp), "svamp"), 0)
    measure = [*test[:TEST], *transfer[:TEST]]
    tests = {"MAWPS one-step": slice(0, TEST), "SVAMP": slice(TEST, 2 * TEST)}
    recipe, results = load_recipe(), []
    with Verifier(recipe.verify, recipe.problems.prompt_style) as verifier:
        for seed in arguments.seeds:
            plans = Plans(Bench(arguments.out, seed, measure, verifier), train)
            results += [plans.run(plan) for plan in PLANS]
    Console().print(pool_table(results), accuracy_table(results, tests))
    if arguments.json:
        write_json(results, arguments.json)


if __name__ == "__main__":
    main()
