"""The page of a command's folder, whichever command filled it: one self-contained file, without a network.

    Report.of(Path("runs/default"))             # shows itself in a notebook
    write_report(Path("runs/default"))          # runs/default/report.html

Everything is drawn from the folder; no model is loaded.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

from rich.console import Console

from reasonmaxxer.artifacts import read_object, write_text
from reasonmaxxer.errors import UserError
from reasonmaxxer.report.content import Content
from reasonmaxxer.report.render import print_content, to_html, write_content
from reasonmaxxer.work.folder import is_workspace, read_claim, refuse_unfinished

FILES = {
    "run": {"Report": "report.html"},
    "evaluate": {"Page": "report.html", "Tables": "results.md"},
    **{
        name: {"Page": f"{name}.html", "Tables": f"{name}.md", "LaTeX": f"{name}.tex"}
        for name in ("comparison", "diff", "intervene", "overlap", "distill")
    },
}
"""What each command's page is written to, the page itself first. The module of its name has its content."""
OTHERS = {
    "comparison": {"Figures": "comparison.json"},
    "distill": {"Adapters": "students/*/adapter (PEFT folders)", "Losses": "students/*/history.parquet"},
}
"""What else of a folder a terminal names, beside `summary.json`."""


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
    """Write the page of a folder, and its tables where it has some, into it; returns where the page is.

    Raises:
        UserError: it is no folder of a command, or the command has not finished.
    """
    paths = [folder / name for name in FILES[command_of(folder)].values()]
    write_content(content_of(folder), *paths)
    return paths[0]


def print_report(folder: Path, console: Console) -> None:
    """Print the headline tables of a folder's page, its findings and caveats, and where its files are.

    Raises:
        UserError: it is no folder of a command, or the command has not finished.
    """
    command = command_of(folder)
    names = {**FILES[command], "Figures": "summary.json", **OTHERS.get(command, {})}
    print_content(content_of(folder), console, {label: folder / name for label, name in names.items()})


def is_comparison(folder: Path) -> bool:
    """Whether `reasonmaxxer compare` filled a folder, which is no workspace."""
    return (folder / "comparison.json").is_file()


def command_of(folder: Path) -> str:
    """The command that filled a folder; `run` where nothing says otherwise.

    Raises:
        UserError: a command that has no page, or one other than `run` that has not finished.
    """
    if is_comparison(folder):
        return "comparison"
    path = folder / "summary.json"
    begun = read_claim(folder).command if is_workspace(folder) else "run"
    if begun != "run":
        refuse_unfinished(folder, begun)
    command = str(read_object(path).get("command", "run")) if path.is_file() else "run"
    if command not in FILES:
        raise UserError(f"{path} is of '{command}', which has no page. Commands with one are {', '.join(FILES)}.")
    return command


def content_of(folder: Path) -> Content:
    """What the page of a folder says.

    Raises:
        UserError: it is no folder of a command or the command has not finished.
    """
    page = import_module(f"reasonmaxxer.report.{command_of(folder)}")
    content: Content = page.content(folder)
    return content
