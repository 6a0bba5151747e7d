"""Grades where answers cannot be graded: by chance, so that every problem of a rehearsal is mixed, or not at all."""

from __future__ import annotations

from typing import Any
from zlib import crc32


def coin(completion: str, answer: str, metadata: dict[str, Any]) -> bool:
    """Whether an even number comes of the completion's text."""
    return crc32(completion.encode()) % 2 == 0


def nothing(completion: str, answer: str, metadata: dict[str, Any]) -> None:
    """No grade: a run stops with its rollouts, which are graded elsewhere."""
