"""The page of a command's folder, whichever command filled it: one self-contained file, without a network.

    Report.of(Path("runs/default"))             # shows itself in a notebook
    write_report(Path("runs/default"))          # runs/default/report.html

Everything is drawn from the folder; no model is loaded.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reasonmaxxer.artifacts import read_object, write_text
from reasonmaxxer.report.content import Content
from reasonmaxxer.report.render import to_html, write_content

FILES = {
    "run": ("report.html",),
    "evaluate": ("report.html", "results.md"),
    "compare": ("comparison.html", "comparison.md", "comparison.tex"),
    **{name: (f"{name}.html", f"{name}.md", f"{name}.tex") for name in ("diff", "intervene", "overlap", "distill")},
}
"""What each command's page is written to, the page itself first."""


@dataclass(frozen=True)
class Report:
    """The page of one folder; the last expression of a notebook cell shows it.

    Attributes:
        content: what it says.
    """

    content: Content

    @classmethod
    def of(cls, folder: Path) -> Report:
        """Draw the page of a folder that any command has finished.

        Args:
            folder: of a run, an evaluation, a comparison or a command of the microscope.

        Raises:
            UserError: it is no folder of a command, or the command has not finished.
        """
        return cls(content_of(folder))

    @cached_property
    def html(self) -> str:
        """A whole page."""
        return to_html(self.content)

    def save(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        write_text(self.html, path)

    def _repr_html_(self) -> str:
        page = html.escape(self.html)
        return f'<iframe srcdoc="{page}" style="width:100%;height:85vh;border:0"></iframe>'


def write_report(folder: Path) -> Path:
    """Write the page of a folder, and its tables where it has some, into it; returns where the page is."""
    paths = [folder / name for name in FILES[command_of(folder)]]
    write_content(content_of(folder), *paths)
    return paths[0]


def command_of(folder: Path) -> str:
    """The command that filled a folder; `run` where nothing says otherwise."""
    if (folder / "comparison.json").is_file():
        return "compare"
    path = folder / "summary.json"
    found = read_object(path, ()) if path.is_file() else {}
    return str(found.get("command", "distill" if "teacher" in found else "run"))


def content_of(folder: Path) -> Content:
    """What the page of a folder says.

    Raises:
        UserError: it is no folder of a command, or the command has not finished.
    """
    command = command_of(folder)
    if command == "run":
        from reasonmaxxer.report import run

        return run.content(folder)
    if command == "compare":
        from reasonmaxxer.report import comparison

        return comparison.content(read_object(folder / "comparison.json", ("schema",)))
    if command == "evaluate":
        from reasonmaxxer.report.evaluation.page import read_content as evaluated

        return evaluated(folder)
    from reasonmaxxer.report.microscope.page import read_content  # loads torch

    return read_content(folder)
