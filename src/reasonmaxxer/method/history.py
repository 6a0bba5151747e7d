"""Training metrics as they come: one JSON line a step beside the checkpoints, for those who watch."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILE = "progress.jsonl"


def start_progress(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Begin the file with the steps that a checkpoint already holds; later ones are done again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text("".join(map(_line, rows)), encoding="utf-8")


def add_progress(folder: Path, row: dict[str, Any]) -> None:
    """Append a step. A reader may meet the line half written."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(_line(row))


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """Metrics of the steps so far; a line without its end is left out."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [""]
    return [json.loads(line) for line in lines[:-1]]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
