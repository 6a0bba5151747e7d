"""Rates and lengths of a recipe on the device at hand: one batch of its rollouts, a few of its optimiser steps."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost.flops import ModelFlops
from reasonmaxxer.cost.meter import Meter, StageCost
from reasonmaxxer.cost.plan import Device, Kind, Lengths, Rates, devices
from reasonmaxxer.method.fit import FitArguments
from reasonmaxxer.method.gate import Gate, resolve_gate
from reasonmaxxer.method.scoring import score_rollouts
from reasonmaxxer.method.selection import example_of
from reasonmaxxer.method.train import add_adapter, train_adapter, training_layout
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.models.states import token_count
from reasonmaxxer.problems import load_problems
from reasonmaxxer.rollouts.engines import make_engine
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier

STEPS = 6
"""Optimiser steps taken; the first, in which much is done once, is not timed."""


def measure(recipe: Recipe, trust_remote_code: bool = False) -> tuple[Device, Lengths, Rates]:
    """Do a little of every kind of work that a recipe asks for, by the functions of a run.

    As many rollouts are sampled as are decoded at once; some of them are read again and trained on, every second one
    as if it were right.

    Args:
        recipe: what would be run.
        trust_remote_code: let the model's repository run its own code.

    Returns:
        The device that the model is on, lengths, and FLOP/s and peak memory of each kind of work.
    """
    loaded = load_model(recipe.model, trust_remote_code)
    device, flops = str(loaded.model.device), ModelFlops(loaded.model)
    costs: dict[Kind, StageCost] = {}
    with Meter("decode", device, None) as meter:
        rollouts = _sample(recipe, loaded)
        meter.add(flops=flops.rollouts(rollouts))
        costs["decode"] = meter.snapshot()
    few = [replace(rollout, entropy=None) for rollout in rollouts[: STEPS * recipe.training.batch_size]]
    with Meter("read", device, None) as meter:
        few = score_rollouts(few, loaded.model)
        meter.add(flops=sum(flops.hidden(size) + flops.logits(size) for size in map(token_count, few)))
        costs["read"] = meter.snapshot()
    with Meter("train", device, None) as meter:
        gate, seconds = _train(recipe, loaded, few, meter, flops)
        costs["train"] = replace(meter.snapshot(), seconds=seconds)
    lengths = Lengths(
        prompt=round(np.mean([len(r.prompt_ids) for r in rollouts])),
        completion=float(np.mean([len(r.completion_ids) for r in rollouts])),
        decision_share=gate.decision_share,
    )
    rates = {kind: cost.flops / cost.seconds for kind, cost in costs.items()}
    where = devices()["cpu"]
    if device != "cpu":
        memory = torch.cuda.get_device_properties(device).total_memory
        where = Device(device, "cuda", float(memory), products=0.0, bandwidth=0.0, price=None)
    return where, lengths, Rates(True, rates, None, {kind: cost.peak_memory_bytes for kind, cost in costs.items()})


def _sample(recipe: Recipe, loaded: LoadedModel) -> list[Rollout]:
    """Graded rollouts of as many problems as fill a batch."""
    config, style = recipe.rollouts, recipe.problems.prompt_style
    count = -(-config.batch_size // config.rollouts_per_problem)
    problems = load_problems(recipe.problems.train, recipe.seed, "problems.train")[:count]
    ends = eos_ids(loaded.model, loaded.tokenizer)
    with (
        Verifier(recipe.verify, style) as verifier,
        closing(make_engine(config.engine, loaded, ends, config.batch_size)) as engine,
    ):
        sampler = Sampler(
            engine,
            verifier,
            loaded.tokenizer,
            prompt_style=style,
            sampling=config,
            per_problem=config.rollouts_per_problem,
            seed=recipe.seed,
        )
        return sampler.sample(problems)


def _train(
    recipe: Recipe, loaded: LoadedModel, rollouts: list[Rollout], meter: Meter, flops: ModelFlops
) -> tuple[Gate, float]:
    """The gate, and the seconds of the optimiser steps after the first, whose FLOPs the meter counts."""
    examples = [example_of(rollout, 1.0 - 2.0 * (number % 2)) for number, rollout in enumerate(rollouts)]
    gate = resolve_gate(recipe.signal.gate.candidates()[0], [e.entropy for e in examples], recipe.seed)
    config = recipe.training.model_copy(update={"epochs": 1.0, "checkpoints": 1, "report_to": ()})
    model = add_adapter(loaded.model, config.adapter, recipe.seed)
    ended = [time.perf_counter()]
    with TemporaryDirectory() as folder:
        fitting = FitArguments(Path(folder), recipe.seed, on_step=lambda step: ended.append(time.perf_counter()))
        train_adapter(model, loaded.tokenizer, examples, gate, config, fitting)
    layout = training_layout(examples, config, recipe.seed, loaded.model.device.type)
    decisions = sum(int(gate.decisions(e.entropy, e.key).sum()) for e in examples)
    first, steps = min(1, len(ended) - 2), len(ended) - 1  # a single step is timed with what is done once
    done = flops.course(layout, decisions, 1.0, anchored=config.anchor_weight > 0, fresh=True)
    meter.add(flops=done * (steps - first) / steps)
    return gate, ended[-1] - ended[first]
