"""What does not fit a device, and what makes it fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reasonmaxxer.cost.planning.devices import Device, devices
from reasonmaxxer.cost.planning.shapes import Shape
from reasonmaxxer.cost.planning.work import Sampling, Training, Work

USABLE = 0.94
"""Share of a device's memory to plan with: the rest goes to fragments and other programs."""

FEWEST_TOKENS = 512
"""Sequences cut shorter than this are not worth training on."""


def advice(peaks: Mapping[str, float], work: Mapping[str, Sequence[Work]], shape: Shape, device: Device) -> list[str]:
    """A sentence for every stage that does not fit: the knob that makes it fit, or a larger device.

    Args:
        peaks: bytes, by stage.
        work: by stage.
        shape: of the model.
        device: where.
    """
    said = []
    limit = usable(device)
    for stage, peak in peaks.items():
        if peak <= limit:
            continue
        room = limit - (peak - max(part.memory(shape, device) for part in work[stage]))
        knobs = dict.fromkeys(_knob(part, shape, device, room) for part in work[stage])
        wanted = [knob for knob in knobs if knob]
        if wanted:  # else it is too large for what stages before it keep, and those have been named
            over = f"{stage} peaks at {_gib(peak)} of the {_gib(limit)} to plan with"
            said.append(f"{over}: {' and '.join(wanted)}.")
    return said


def usable(device: Device) -> float:
    """Bytes to plan with."""
    return USABLE * device.memory


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
    enough = [d for d in devices().values() if d.memory >= wanted]
    smallest = min(enough, key=lambda d: d.memory, default=None)
    named = f", such as {smallest.name}" if smallest else "; none that is known has it"
    return f"take a device of {_gib(wanted)} or more{named}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
