"""What is shared: a finished run, or a PEFT folder alone."""

import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from reasonmaxxer.errors import UserError
from reasonmaxxer.models.names import resolve
from reasonmaxxer.models.teachers import near_embedded, teachers
from reasonmaxxer.work.folder import finished_run

_PART = r"[^\s/\\'\"(),;<>|]+"
_PATH = re.compile(rf"(?<![\w:/\\.~-])(?:[A-Za-z]:)?[/\\](?:{_PART}[/\\])+({_PART})")


@dataclass(frozen=True)
class Source:
    """An adapter and, where there is one, the run that trained it.

    Attributes:
        adapter: PEFT folder.
        run: directory of the finished run.
    """

    adapter: Path
    run: Path | None = None


def find_source(name: str) -> Source:
    """Read what a command was given: a run directory, a PEFT folder or an embedded teacher.

    Raises:
        UserError: it is none of them, or the run is not finished.
    """
    adapter, run = resolve(name).adapter, Path(name)
    if adapter:
        return Source(adapter)
    if not run.exists():
        raise UserError(
            f"'{name}' is not there.{near_embedded(name)} Give a run directory, a PEFT folder or one of: "
            f"{', '.join(teachers())}."
        )
    finished_run(run)
    return Source(run / "training" / "adapter", run)


def without_paths(value: Any) -> Any:
    """JSON values in which an absolute path is its last part: where it lies here is nobody else's."""
    if isinstance(value, dict):
        return {key: without_paths(below) for key, below in value.items()}
    if isinstance(value, list):
        return [without_paths(below) for below in value]
    if not isinstance(value, str):
        return value
    for path in (Path(value), PureWindowsPath(value)):
        if path.is_absolute():
            return path.name
    return _PATH.sub(r"\1", value)
