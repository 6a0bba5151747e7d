"""Variants of training on the same rollouts, measured on validation problems.

    python benchmarks/variants.py --out DIR training.learning_rate=1e-3 \\
        training.learning_rate=1e-3,training.negative_floor=0.05 signal.positive_only=true

A variant is one or more keys of `signal` or `training`, joined by commas, laid over the default recipe.
The base's rollouts are sampled once and kept in DIR; each variant trains one adapter to its end and
answers 100 validation problems greedily. Test problems are not touched, so that variants may be
chosen by what this prints. One seed: differences of a few points are noise.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reasonmaxxer.config import Recipe, SamplingConfig
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.collect import collect, sample_rollouts
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.signal.gates import resolve_gate
from reasonmaxxer.signal.select import examples_of, group_rollouts, select_groups
from reasonmaxxer.training.train import add_adapter, train_adapter
from reasonmaxxer.verify import Verifier

GREEDY = SamplingConfig(temperature=0)


class Bench:
    """The base, its rollouts and its answers to the validation problems."""

    def __init__(self, out: Path, seed: int, problems: int, verifier: Verifier) -> None:
        self.out, self.seed, self.verifier = out, seed, verifier
        self.recipe = load_recipe("default", (f"seed={seed}",))
        self.loaded: LoadedModel = load_model(self.recipe.model)
        config = self.recipe.problems
        self.validation = word_problems("validation", problems, 1)
        train = word_problems("train", config.train.limit, seed)
        sampling = self.recipe.rollouts
        per_problem = sampling.rollouts_per_problem
        self.rollouts = collect(
            train, out / "rollouts", 30, lambda shard: self.sample(shard, sampling, per_problem)
        )
        self.base = collect(
            self.validation,
            out / "base",
            problems,
            lambda shard: self.sample(shard, GREEDY, 1),
        )

    def sample(
        self, problems: Sequence[Problem], sampling: SamplingConfig, per_problem: int
    ) -> list[Rollout]:
        """Graded completions of the model as it stands."""
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        return sample_rollouts(
            problems,
            TransformersEngine(model, eos_ids(model, tokenizer), self.recipe.rollouts.batch_size),
            self.verifier,
            tokenizer,
            prompt_style=self.recipe.problems.prompt_style,
            sampling=sampling,
            per_problem=per_problem,
            seed=self.seed,
        )

    def run(self, variant: str) -> list[str]:
        """Train one variant and answer the validation problems; a row of the table."""
        recipe = load_recipe("default", (f"seed={self.seed}", *variant.split(",")))
        history = self.train(recipe, self.out / f"variant-{recipe.hash()[:8]}")
        adapted = self.sample(self.validation, GREEDY, 1)
        self.loaded.model = self.loaded.model.unload()
        name = "\n".join(key.partition(".")[2] for key in variant.split(","))
        return [name, *scores(adapted, self.base), *drift(history)]

    def train(self, recipe: Recipe, folder: Path) -> list[dict[str, Any]]:
        """Train the variant's adapter in place, from its beginning to its end."""
        groups = select_groups(group_rollouts(self.rollouts), recipe.signal.problems)
        examples = examples_of(groups, recipe.signal)
        gate = resolve_gate(recipe.signal.gate, [e.entropy for e in examples], self.seed)
        self.loaded.model = add_adapter(self.loaded.model, recipe.training.adapter, self.seed)
        shutil.rmtree(folder, ignore_errors=True)
        once = recipe.training.model_copy(update={"checkpoints": 1})
        return train_adapter(
            self.loaded.model,
            self.loaded.tokenizer,
            examples,
            gate,
            once,
            seed=self.seed,
            folder=folder,
        )


def scores(adapted: Sequence[Rollout], base: Sequence[Rollout]) -> list[str]:
    """Accuracy, problems gained and lost, share cut at the length limit."""
    pairs = list(zip(adapted, base, strict=True))
    return [
        f"{sum(a.reward for a in adapted) / len(adapted):.2f}",
        f"{sum(a.reward > b.reward for a, b in pairs)} / {sum(a.reward < b.reward for a, b in pairs)}",
        f"{sum(a.truncated for a in adapted) / len(adapted):.2f}",
    ]


def drift(history: Sequence[dict[str, Any]]) -> list[str]:
    """Mean log-probability change of right and wrong rollouts and mean KL, second half of training."""
    late = history[len(history) // 2 :]
    means = []
    for key in ("delta_logprob_positive", "delta_logprob_negative", "kl"):
        values = [row[key] for row in late if not math.isnan(row.get(key, math.nan))]
        means.append(f"{sum(values) / len(values):+.3f}" if values else "-")
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="+", metavar="KEY=VALUE[,KEY=VALUE]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=int, default=100, help="validation problems")
    arguments = parser.parse_args()
    console = Console()
    recipe = load_recipe()
    with Verifier(recipe.verify, recipe.problems.prompt_style) as verifier:
        bench = Bench(arguments.out, arguments.seed, arguments.problems, verifier)
        table = Table(title=f"Greedy accuracy on {arguments.problems} validation problems")
        for column in (
            "variant", "acc.", "gained / lost", "cut", "d log p right", "d log p wrong",
            "KL",
        ):  # fmt: skip
            table.add_column(column, no_wrap=column == "variant")
        table.add_row("base", *scores(bench.base, bench.base))
        for variant in arguments.variants:
            table.add_row(*bench.run(variant))
            console.print(table)  # what there is so far: a variant takes minutes


if __name__ == "__main__":
    main()
