"""What is shared: a finished run, or a PEFT folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.files import adapter_config, base_name, is_adapter
from reasonmaxxer.models.teachers import teachers
from reasonmaxxer.run_directory import read_recipe_values


@dataclass(frozen=True)
class Source:
    """An adapter and, where there is one, the run that trained it.

    Attributes:
        adapter: PEFT folder.
        run: directory of the finished run.
    """

    adapter: Path
    run: Path | None = None

    @property
    def base(self) -> str:
        """Hub id or folder of the model that the adapter belongs to."""
        return base_name(self.adapter)

    @property
    def revision(self) -> str | None:
        """Of the base, where one was asked for."""
        revision: str | None = adapter_config(self.adapter).get("revision")
        return revision


def find_source(name: str) -> Source:
    """Read what a command was given: a run directory, a PEFT folder or an embedded teacher.

    Raises:
        UserError: it is none of them, or the run is not finished.
    """
    path = teachers().get(name, Path(name))
    if is_adapter(path):
        return Source(path)
    read_finished(path)
    return Source(path / "training" / "adapter", path)


def read_finished(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """`summary.json` and the resolved recipe of a finished run.

    Raises:
        UserError: the folder is no run directory, or the run is not finished.
    """
    recipe = read_recipe_values(run)
    if not (run / "summary.json").is_file():
        raise UserError(
            f"{run} is not finished: it has no summary.json. `reasonmaxxer show {run}` says where it is; "
            "the same `reasonmaxxer run` command goes on."
        )
    return read_json(run / "summary.json"), recipe
