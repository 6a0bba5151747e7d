"""Shapes of students as they are written on the command line: `qkvo:32,o:8,lm_head:8`."""

from __future__ import annotations

from typing import Any

from reasonmaxxer.config import ATTENTION
from reasonmaxxer.errors import UserError


def parse_shapes(text: str) -> list[dict[str, Any]]:
    """Values of `ShapeConfig`, one a comma-separated MODULES:RANK.

    MODULES is letters of attention's projections, or names of linear layers joined by `+`, such as
    `gate_proj+up_proj`.

    Raises:
        UserError: a shape is not of that form.
    """
    return [_shape(part.strip()) for part in text.split(",")]


def _shape(text: str) -> dict[str, Any]:
    modules, _, rank = text.partition(":")
    if not modules or not rank.isdecimal():
        raise UserError(f"--shapes: '{text}' is not of the form MODULES:RANK, such as qkvo:32 or lm_head:8.")
    if set(modules) <= set(ATTENTION):
        return {"modules": [ATTENTION[letter] for letter in modules], "rank": int(rank)}
    return {"modules": modules.split("+"), "rank": int(rank)}
