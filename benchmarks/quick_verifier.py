"""Grades for a rehearsal that has no time for answers: by chance, so that every problem is mixed."""

from __future__ import annotations

from typing import Any
from zlib import crc32


def coin(completion: str, answer: str, metadata: dict[str, Any]) -> bool:
    """Whether an even number comes of the completion's text."""
    return crc32(completion.encode()) % 2 == 0
