"""What a recipe will take on a device, before anything is spent: tokens, FLOPs, memory, hours, dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reasonmaxxer.config import Recipe
from reasonmaxxer.cost.planning.assumed import Assumptions
from reasonmaxxer.cost.planning.devices import Device, device_named, this_cpu
from reasonmaxxer.cost.planning.fit import advice, usable
from reasonmaxxer.cost.planning.shapes import Shape, shape_of
from reasonmaxxer.cost.planning.stages import stage_work, with_shards
from reasonmaxxer.cost.prices import Price, price_of
from reasonmaxxer.models.base import resolve_dtype

LOADED = 1e9
"""Bytes/s at which weights come from a disk."""


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
    recipe: Recipe, shape: Shape, device: Device, assumed: Assumptions, usd_per_hour: float | None = None
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
    recipe = with_shards(recipe, shape if device.type == "cpu" else None)
    work = stage_work(recipe, assumed)
    kind = device.kind
    held = kind.held * 2**30 + shape.weights
    stages: list[StagePlan] = []
    for stage, parts in work.items():
        need = max((part.memory(shape, device) for part in parts), default=0.0)
        before = stages[-1].peak_memory_bytes if stages and kind.kept else 0.0
        peak = max(held + need, before)  # a process that keeps what it freed never shrinks
        held += kind.kept * need
        seconds = sum(part.seconds(shape, device) for part in parts)
        seconds += 0 if stages else kind.start + shape.weights / LOADED
        stages.append(
            StagePlan(
                stage=stage,
                tokens=sum(part.tokens for part in parts),
                flops=sum(part.flops(shape) for part in parts),
                seconds=seconds,
                peak_memory_bytes=peak,
                usd=None if usd_per_hour is None else usd_per_hour * seconds / 3600,
                fits=peak <= usable(device),
            )
        )
    peaks = {stage.stage: stage.peak_memory_bytes for stage in stages}
    return Plan(stages, advice(peaks, work, shape, device))


def place(recipe: Recipe, device: str | None, trust_remote_code: bool = False) -> tuple[Device, Shape, Price]:
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
        "device": {"name": device.name, "memory_bytes": device.memory, "usable_bytes": usable(device)},
        "estimated": device.kind.estimated,
        "price": price.to_dict(),
        **{
            name: {"assumed": asdict(taken), **plan.to_dict()}
            for name, plan, taken in zip(("low", "middling", "high"), plans, assumed, strict=True)
        },
    }
