"""What a recipe will take on a device, before anything is spent: tokens, FLOPs, memory, hours, dollars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reasonmaxxer.config import Recipe, SourceConfig
from reasonmaxxer.cost.assumed import Assumptions
from reasonmaxxer.cost.devices import Device, device_named, devices, this_cpu
from reasonmaxxer.cost.prices import Price, price_of
from reasonmaxxer.cost.shapes import Shape, shape_of
from reasonmaxxer.cost.work import Sampling, Scoring, Training, Work, lengths
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.load import resolve_dtype
from reasonmaxxer.problems import load_problems
from reasonmaxxer.problems.catalogue import CATALOGUE
from reasonmaxxer.signal.select import Example
from reasonmaxxer.training.train import planned_steps

USABLE = 0.94
"""Share of a device's memory to plan with: the rest goes to fragments and other programs."""

LOADED = 1e9
"""Bytes/s at which weights come from a disk."""

FEWEST_TOKENS = 512
"""Sequences cut shorter than this are not worth training on."""


@dataclass(frozen=True)
class StagePlan:
    """What a stage will take; memory is its peak, in bytes."""

    stage: str
    tokens: int
    flops: float
    seconds: float
    peak_memory_bytes: float
    usd: float | None
    fits: bool


@dataclass(frozen=True)
class Plan:
    """What a recipe will take.

    Attributes:
        stages: in order.
        advice: what does not fit and what makes it fit, one sentence each.
    """

    stages: list[StagePlan]
    advice: list[str]

    @property
    def total(self) -> StagePlan:
        """Sums, and the highest peak."""
        stages = self.stages
        priced = all(s.usd is not None for s in stages)
        return StagePlan(
            stage="total",
            tokens=sum(s.tokens for s in stages),
            flops=sum(s.flops for s in stages),
            seconds=sum(s.seconds for s in stages),
            peak_memory_bytes=max(s.peak_memory_bytes for s in stages),
            usd=sum(s.usd or 0.0 for s in stages) if priced else None,
            fits=all(s.fits for s in stages),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "total": asdict(self.total)}


def make_plan(
    recipe: Recipe,
    shape: Shape,
    device: Device,
    assumed: Assumptions,
    usd_per_hour: float | None = None,
) -> Plan:
    """Predict every stage of a run of ReasonMaxxer.

    Args:
        recipe: what would be run.
        shape: of its model.
        device: where.
        assumed: lengths and decision points.
        usd_per_hour: price of the device; None where unknown.

    Raises:
        UserError: a method other than ReasonMaxxer, or a source whose size is not known.
    """
    work = stage_work(recipe, assumed)
    held = device.kind.held * 2**30 + shape.weights
    stages: list[StagePlan] = []
    for stage, parts in work.items():
        need = max((part.memory(shape, device) for part in parts), default=0.0)
        peak = held + need
        held += device.kind.kept * need
        seconds = sum(part.seconds(shape, device) for part in parts)
        seconds += 0 if stages else device.kind.start + shape.weights / LOADED
        stages.append(
            StagePlan(
                stage=stage,
                tokens=sum(part.tokens for part in parts),
                flops=sum(part.flops(shape) for part in parts),
                seconds=seconds,
                peak_memory_bytes=peak,
                usd=None if usd_per_hour is None else usd_per_hour * seconds / 3600,
                fits=peak <= USABLE * device.memory,
            )
        )
    return Plan(stages, _advice(stages, work, shape, device))


def place(
    recipe: Recipe, device: str | None, trust_remote_code: bool = False
) -> tuple[Device, Shape, Price]:
    """Where a recipe would run, the shape its model would have there, and the price of an hour.

    Args:
        recipe: what would be run.
        device: in the table of devices; none measures this machine's CPU.
        trust_remote_code: let the model's repository run its own code.

    Raises:
        UserError: a device, a price or a model that is not known.
    """
    import torch

    auto = recipe.model.dtype == "auto"
    if device is None:
        dtype = resolve_dtype(recipe.model, "cpu")
    else:
        dtype = torch.bfloat16 if auto else getattr(torch, recipe.model.dtype)
    where = device_named(device) if device else this_cpu(dtype)
    shape = shape_of(recipe.model, recipe.training.adapter, dtype.itemsize, trust_remote_code)
    cost = recipe.cost.model_copy(update={"price": recipe.cost.price or where.price})
    return where, shape, price_of(cost, where.name if where.name == "cpu" else "")


def describe_plans(
    plans: Sequence[Plan], assumed: Sequence[Assumptions], device: Device, price: Price
) -> dict[str, Any]:
    """JSON values of the plans with short, middling and long completions."""
    return {
        "device": {"name": device.name, "memory_bytes": device.memory, "usable": USABLE},
        "estimated": device.kind.estimated,
        "price": price.to_dict(),
        **{
            name: {"assumed": asdict(taken), **plan.to_dict()}
            for name, plan, taken in zip(("low", "middling", "high"), plans, assumed, strict=True)
        },
    }


def stage_work(recipe: Recipe, assumed: Assumptions) -> dict[str, list[Work]]:
    """The work of each stage that computes anything."""
    if recipe.training.method != "reasonmaxxer":
        raise UserError(
            f"A plan is made for ReasonMaxxer, not training.method '{recipe.training.method}'."
        )
    count = {
        name: _count(getattr(recipe.problems, name), f"problems.{name}", recipe.seed)
        for name in ("train", "validation", "test")
    }
    rollouts = _sampling(recipe, assumed, count["train"], recipe.rollouts.rollouts_per_problem)
    examples = _examples(recipe, assumed, rollouts)
    evaluation = recipe.evaluation
    greedy = _sampling(recipe, assumed, count["test"], 1, evaluation.max_new_tokens)
    sampled = min(count["test"], evaluation.sampled_problems or count["test"])
    arm = [greedy]
    if evaluation.samples:
        arm.append(
            _sampling(recipe, assumed, sampled, evaluation.samples, evaluation.max_new_tokens)
        )
    work: dict[str, list[Work]] = {"rollouts": [rollouts]}
    if recipe.rollouts.imported:
        kept = [len(e.prompt_ids) + len(e.completion_ids) for e in examples]
        work = {"signal": [Scoring(kept)]}
    work["training"] = _training(recipe, assumed, examples, count["validation"])
    work["evaluation"] = [*arm, *arm]
    work["inspection"] = [_inspection(recipe, assumed, rollouts, greedy)]
    return work


def _count(source: SourceConfig, where: str, seed: int) -> int:
    """Problems of a split; only a generated or local one is looked at."""
    if source.limit is not None:
        return source.limit
    if source.source in CATALOGUE and not source.where:
        return CATALOGUE[source.source].problems
    return len(load_problems(source, seed, where))


def _sampling(
    recipe: Recipe, assumed: Assumptions, problems: int, each: int, limit: int | None = None
) -> Sampling:
    limit = limit or recipe.rollouts.max_new_tokens
    mean = min(assumed.mean_tokens, limit)
    return Sampling(
        prompt=assumed.prompt_tokens,
        lengths=lengths(problems * each, mean, limit, recipe.seed),
        each=each,
        limit=limit,
        slots=recipe.rollouts.batch_size,
        shard=recipe.rollouts.rollouts_per_shard,
    )


def _examples(recipe: Recipe, assumed: Assumptions, rollouts: Sampling) -> list[Example]:
    """As many as the recipe keeps if there are enough mixed problems, every second rollout right."""
    config, each = recipe.signal, rollouts.each
    kept = rollouts.lengths[: config.problems * each]
    examples = [
        Example(
            problem_id=str(number // each),
            rollout=number % each,
            prompt_ids=[number // each] * assumed.prompt_tokens,
            completion_ids=[0] * length,
            entropy=[],
            logprob=[],
            advantage=1.0 - 2.0 * (number % 2),
        )
        for number, length in enumerate(kept)
    ]
    teaching = [e for e in examples if e.advantage > 0 or not config.positive_only]
    longest = sorted(teaching, key=lambda e: -len(e.completion_ids))
    dropped = {e.key for e in longest[: int(config.trim_longest * len(teaching))]}
    return [e for e in teaching if e.key not in dropped]


def _training(
    recipe: Recipe, assumed: Assumptions, examples: Sequence[Example], validation: int
) -> list[Work]:
    """Each gate's adapter, and each of its checkpoints on the validation problems."""
    config = recipe.training
    gates = len(recipe.signal.gate.candidates())
    steps = planned_steps(len(examples), config)
    checkpoints = math.ceil(steps / math.ceil(steps / config.checkpoints))
    tried = _sampling(recipe, assumed, validation, 1, recipe.evaluation.max_new_tokens)
    work: list[Work] = []
    for index in range(gates):
        longest = assumed.prompt_tokens + recipe.rollouts.max_new_tokens
        work.append(
            Training(
                examples=list(examples),
                decision_share=assumed.decision_share,
                config=config,
                seed=recipe.seed,
                fresh=index == 0,
                longest=min(config.max_length, longest),
                kept_states=gates > 1 or config.epochs > 1,
            )
        )
        work += [tried] * checkpoints
    return work


def _inspection(
    recipe: Recipe, assumed: Assumptions, rollouts: Sampling, greedy: Sampling
) -> Scoring:
    """Every sequence shown is read by base and adapted model."""
    config = recipe.inspection
    shown = rollouts.lengths[: min(config.train_problems, recipe.signal.problems) * rollouts.each]
    shown = shown + 2 * greedy.lengths[: config.test_problems]
    return Scoring([assumed.prompt_tokens + length for length in shown] * 2)


def _advice(
    stages: Sequence[StagePlan], work: dict[str, list[Work]], shape: Shape, device: Device
) -> list[str]:
    """For every stage that does not fit: the knob and the value that make it fit, or a larger device."""
    said = []
    limit = USABLE * device.memory
    for stage in stages:
        if stage.fits:
            continue
        need = max(part.memory(shape, device) for part in work[stage.stage])
        room = limit - (stage.peak_memory_bytes - need)
        knobs = {knob for part in work[stage.stage] if (knob := _knob(part, shape, device, room))}
        over = f"{stage.stage} peaks at {_gib(stage.peak_memory_bytes)} of the {_gib(limit)} to plan with"
        said.append(
            f"{over}: {' and '.join(sorted(knobs))}." if knobs and None not in knobs else over
        )
    return said


def _knob(part: Work, shape: Shape, device: Device, room: float) -> str | None:
    """What makes one piece of work fit; None where it does."""
    if part.memory(shape, device) <= room:
        return None
    if isinstance(part, Sampling):
        one = replace(part, slots=1).memory(shape, device)
        slots = 1 + math.floor((room - one) / part.slot(shape, device))
        if slots >= 1:
            return f"set rollouts.batch_size={slots}"
        return _larger(one - room, device)
    if isinstance(part, Training):
        return _training_knob(part, shape, device, room)
    return _larger(part.memory(shape, device) - room, device)


def _training_knob(part: Training, shape: Shape, device: Device, room: float) -> str:
    light = replace(part, config=part.config.model_copy(update={"gradient_checkpointing": True}))
    if light.memory(shape, device) <= room:
        return "set training.gradient_checkpointing=true"
    both = "" if part.config.gradient_checkpointing else "training.gradient_checkpointing=true and "
    for longest in range(part.longest // 256 * 256, FEWEST_TOKENS - 1, -256):
        if replace(light, longest=longest).memory(shape, device) <= room:
            return f"set {both}training.max_length={longest}"
    short = replace(light, longest=FEWEST_TOKENS)
    return _larger(short.memory(shape, device) - room, device)


def _larger(short: float, device: Device) -> str:
    """No knob is enough: which devices would be."""
    wanted = device.memory + short / USABLE
    enough = [d.name for d in devices().values() if d.memory >= wanted]
    named = f", such as {enough[0]}" if enough else "; none that is known has it"
    return f"take a device of {_gib(wanted)} or more{named}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
