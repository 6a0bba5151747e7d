"""How much of the paper's run fits a time on this machine, from what `gpu.sh` has measured of it so far.

    python benchmarks/gpu_sizes.py FIGURES.jsonl RECIPE SECONDS [--online]

Prints what to set, one `key=value` a line: rollouts a problem and sequences a step are the paper's
(arXiv 2605.06241), problems as many of the paper's as fit. With `--online` what GRPO gets instead, on the
problems that the recipe names: as many steps as fit.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gpu_figures import medians, read_lines

from reasonmaxxer.config import Recipe
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.recipe import load_recipe

TRAIN, VALIDATION, SELECTED = 150, 50, 50
"""The paper's problems."""
TEST = 1319
"""GSM8K's; of another benchmark its own."""
GROUP, BATCH = 20, 8
"""The paper's rollouts a problem and sequences a step."""
ROWS, SHARD = 256, 4096
"""Sequences decoded at once, as measured, and rollouts before anything waits for the last of them."""
ONLINE_GROUPS, ONLINE_CHECKPOINTS = 4, 4
"""Problems a step of GRPO, and checkpoints tried."""

TOKENS, PROGRAM_TOKENS = 250, 65
"""Tokens of a completion; of one that ends with its program, as of MBPP."""
PROGRAM_STEP = 0.45
"""Seconds of a step of programs, MBPP's prompts of 164 tokens with them, over those of the step that was measured."""
PROGRAM_GRADING = 1 / 30
"""Seconds in which a core grades a program."""
TAIL = 2.0
"""Seconds of sampling over those at the measured rate: the last sequences decode alone."""
TRL = 2.0
"""Seconds of a sequence trained by TRL over ours."""
START = 45.0
"""Seconds that are neither sampling nor training: imports, loading, grading, the report."""
SLOW_RATE, SLOW_STEP = 2000.0, 2.0
"""Tokens a second and seconds a step, where none were measured."""


def sizes(recipe: Recipe, completion: float, step: float, seconds: float) -> dict[str, int]:
    """Problems that fit.

    Args:
        recipe: whose gates are each trained and validated.
        completion: seconds that one takes among many.
        step: seconds of an optimiser step.
        seconds: the whole run may take.
    """
    gates = len(recipe.signal.gate.candidates())
    tried = gates * recipe.training.checkpoints
    test = _test_problems(recipe)
    whole = (TRAIN * GROUP + tried * VALIDATION + 2 * test) * completion
    whole += gates * SELECTED * GROUP / BATCH * step
    share = min(1.0, max(0.0, seconds - START) / whole)
    return {
        "problems.train.limit": max(16, int(share * TRAIN)),
        "problems.validation.limit": max(8, int(share * VALIDATION)),
        "problems.test.limit": max(50, int(share * test)),
        "signal.problems": max(8, int(share * SELECTED)),
        "rollouts.rollouts_per_problem": GROUP,
        "rollouts.batch_size": ROWS,
        "rollouts.rollouts_per_shard": SHARD,
        "training.batch_size": BATCH,
        "training.micro_batch_size": BATCH,
        "evaluation.samples": 0,
    }


def _test_problems(recipe: Recipe) -> int:
    source = recipe.problems.test
    return CATALOGUE[source.source].size(source.split) if source.source in CATALOGUE else TEST


def online(recipe: Recipe, completion: float, step: float, seconds: float) -> dict[str, int]:
    """Steps of GRPO that fit beside the evaluation of the same problems; the rest as for `sizes`."""
    limits, group = recipe.problems, recipe.rollouts.rollouts_per_problem
    asked = 2 * (limits.test.limit or TEST)
    asked += ONLINE_CHECKPOINTS * (limits.validation.limit or VALIDATION)
    sequences = ONLINE_GROUPS * group
    one = sequences * (completion + TRL * step / BATCH)
    steps = int((seconds - START - asked * completion) / one)
    return {
        "training.baseline.steps": max(ONLINE_CHECKPOINTS, steps),
        "training.batch_size": sequences,
        "training.micro_batch_size": group,
        "training.checkpoints": ONLINE_CHECKPOINTS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("recipe")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--online", action="store_true")
    arguments = parser.parse_args()
    lines = read_lines(arguments.figures)
    rate = medians(lines, f"rollouts-{ROWS}", "tokens_per_second").get("ours", SLOW_RATE)
    step = medians(lines, "training", "step_seconds").get("ours", SLOW_STEP)
    recipe = load_recipe(arguments.recipe)
    completion = TOKENS * TAIL / rate
    if recipe.problems.prompt_style == "chat_code":
        completion = PROGRAM_TOKENS * TAIL / rate + PROGRAM_GRADING / (os.cpu_count() or 1)
        step *= PROGRAM_STEP
    times = (completion, step, arguments.seconds)
    found = online(recipe, *times) if arguments.online else sizes(recipe, *times)
    print("\n".join(f"{key}={value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
