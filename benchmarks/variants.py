"""Variants of training on the same rollouts, measured on validation problems, over several seeds.

    python benchmarks/variants.py --out DIR training.learning_rate=1e-3 \\
        training.learning_rate=1e-3,training.negative_floor=0.05 signal.negative_weight=0

A variant is one or more keys of `signal` or `training`, joined by commas, laid over the default recipe.
Each seed draws its own problems, samples the base's rollouts once, and trains one adapter a variant to its
end; the adapter then answers the same validation problems greedily. Test problems are not touched, so that
variants may be chosen by what this prints. With `signal.problems=N` the pool is 1.5 N problems, as it is
by default. What is finished is kept in DIR: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import read_json, write_json
from reasonmaxxer.config import Recipe, SamplingConfig
from reasonmaxxer.measure.metrics import bootstrap
from reasonmaxxer.method.base_states import BaseStates
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import resolve_gate
from reasonmaxxer.method.pool import group_rollouts
from reasonmaxxer.method.selection import examples_of, select_groups
from reasonmaxxer.method.train import add_adapter, train_adapter
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.verify import Verifier

GREEDY = SamplingConfig(temperature=0)
SHARD = 60
"""Problems sampled and kept at once; a smaller pool is a whole number of them, or the first of them."""


class Bench:
    """One seed: the base, its rollouts, and its greedy answers to the problems that measure."""

    def __init__(self, out: Path, seed: int, validation: Sequence[Problem], verifier: Verifier) -> None:
        self.out, self.seed, self.verifier = out / f"seed-{seed}", seed, verifier
        self.recipe = load_recipe("default", (f"seed={seed}",))
        self.loaded: LoadedModel = load_model(self.recipe.model)
        self.base_states = BaseStates()  # most variants read the same rows
        self.validation = validation
        answers = self.sample(validation, GREEDY, 1, self.out / f"base-{len(validation)}")
        self.base = [rollout.reward for rollout in answers]

    def sample(
        self, problems: Sequence[Problem], sampling: SamplingConfig, per_problem: int, folder: Path | None = None
    ) -> list[Rollout]:
        """Graded completions of the model as it stands; with a folder, kept there and made once."""
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        engine = TransformersEngine(model, eos_ids(model, tokenizer), self.recipe.rollouts.batch_size)
        sampler = Sampler(
            engine,
            self.verifier,
            tokenizer,
            prompt_style=self.recipe.problems.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=self.seed,
        )
        return collect(problems, folder, SHARD * per_problem, sampler) if folder else sampler.sample(problems)

    def rollouts(self, pool: int) -> list[Rollout]:
        """Rollouts of the first problems of the seed's draw."""
        problems = word_problems("train", SHARD * math.ceil(pool / SHARD), self.seed)
        sampling, each = self.recipe.rollouts, self.recipe.rollouts.rollouts_per_problem
        made = self.sample(problems, sampling, each, self.out / "rollouts")
        return made[: pool * each]

    def run(self, variant: str) -> dict[str, Any]:
        """Train one variant and answer the validation problems, unless that was done before."""
        recipe = load_recipe("default", (f"seed={self.seed}", *filter(None, variant.split(","))))
        folder = self.out / f"variant-{recipe.hash()[:8]}"
        done = folder / "result.json"
        if not done.exists():
            history = self.train(recipe, folder)
            answers = self.answers()
            self.loaded.model = self.loaded.model.unload()
            shutil.rmtree(folder)
            folder.mkdir()
            result = {
                "variant": variant,
                "seed": self.seed,
                "problems": [problem.id for problem in self.validation],
                "base": self.base,
                **answers,
                "steps": len(history),
                **drift(history),
            }
            write_json(result, done)
        found: dict[str, Any] = read_json(done)
        return found

    def answers(self) -> dict[str, Any]:
        """What the model as it stands scores on each validation problem, greedily."""
        adapted = self.sample(self.validation, GREEDY, 1)
        return {
            "adapted": [rollout.reward for rollout in adapted],
            "cut": float(np.mean([rollout.truncated for rollout in adapted])),
        }

    def train(self, recipe: Recipe, folder: Path) -> list[dict[str, Any]]:
        """Train the variant's adapter in place, from its beginning to its end."""
        pool = self.rollouts(math.ceil(1.5 * recipe.signal.problems))
        return self.teach(recipe, pool, folder)

    def teach(self, recipe: Recipe, rollouts: Sequence[Rollout], folder: Path) -> list[dict[str, Any]]:
        """Train an adapter in place on what rollouts of a pool teach."""
        groups = select_groups(group_rollouts(rollouts), recipe.signal.problems)
        examples = examples_of(groups, recipe.signal, recipe.seed)
        gate = resolve_gate(recipe.signal.gate, [e.entropy for e in examples], self.seed)
        self.loaded.model = add_adapter(self.loaded.model, recipe.training.adapter, self.seed)
        shutil.rmtree(folder, ignore_errors=True)
        history = train_adapter(
            self.loaded.model,
            self.loaded.tokenizer,
            examples,
            gate,
            recipe.training.model_copy(update={"checkpoints": 1}),
            FitArguments(folder, self.seed),
            self.base_states,
        )
        return [{**row, "share": gate.decision_share} for row in history]


def drift(history: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Means over the second half of training, and the share of decision points."""
    late = history[len(history) // 2 :]
    means = {}
    for key in ("delta_logprob_positive", "delta_logprob_negative", "kl", "share"):
        values = [row[key] for row in late if not math.isnan(row.get(key, math.nan))]
        means[key] = float(np.mean(values)) if values else None
    return means


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One variant over its seeds: accuracy, and the difference to the base with an interval.

    The interval is over problems, each with its mean over the seeds.
    """
    base = np.mean([r["base"] for r in results], axis=0)
    adapted = np.mean([r["adapted"] for r in results], axis=0)
    difference = bootstrap(adapted - base, 10_000, 0.95, 0)
    return {
        "variant": results[0]["variant"],
        "seeds": [r["seed"] for r in results],
        "accuracies": [float(np.mean(r["adapted"])) for r in results],
        "accuracy": float(adapted.mean()),
        "by_problem": adapted.tolist(),
        "difference": difference["value"],
        "low": difference["low"],
        "high": difference["high"],
        **{
            key: float(np.mean([r[key] for r in results])) if results[0][key] is not None else None
            for key in ("cut", "steps", "share", "delta_logprob_positive", "delta_logprob_negative", "kl")
        },
    }


def print_table(base: float, rows: Sequence[dict[str, Any]], console: Console) -> None:
    """One row a variant."""
    table = Table(title=f"Greedy accuracy on the validation problems; base {base:.3f}")
    for column in (
        "variant", "seeds", "accuracy", "minus base", "share", "cut", "d log p +", "d log p -", "KL",
    ):  # fmt: skip
        table.add_column(column, no_wrap=column == "variant")
    for row in rows:
        table.add_row(
            row["variant"].replace(",", "\n") or "default",
            " ".join(f"{a:.2f}" for a in row["accuracies"]),
            f"{row['accuracy']:.3f}",
            f"{row['difference']:+.3f} \\[{row['low']:+.3f}, {row['high']:+.3f}]",
            *(
                "-" if row[key] is None else f"{row[key]:.3f}"
                for key in ("share", "cut", "delta_logprob_positive", "delta_logprob_negative", "kl")
            ),
        )
    console.print(table)


def compare(
    variants: Sequence[str], seeds: Sequence[int], out: Path, validation: int, console: Console
) -> list[dict[str, Any]]:
    """Run every variant with every seed; summaries in the order asked."""
    recipe = load_recipe()
    results: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    measure = word_problems("validation", validation, 1)
    with Verifier(recipe.verify, recipe.problems.prompt_style) as verifier:
        for seed in seeds:
            bench = Bench(out, seed, measure, verifier)
            for variant in variants:
                results[variant].append(bench.run(variant))
                done = [summary(found) for found in results.values() if found]
                print_table(float(np.mean(bench.base)), done, console)  # so far: a variant takes minutes
    return [summary(found) for found in results.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="+", metavar="KEY=VALUE[,KEY=VALUE]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--problems", type=int, default=200, help="validation problems")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = compare(arguments.variants, arguments.seeds, arguments.out, arguments.problems, Console())
    if arguments.json:
        write_json(rows, arguments.json)


if __name__ == "__main__":
    main()
