"""What a command of the microscope found as one HTML page, and its tables for papers.

    MicroscopePage.of(Path("runs/diff-a-b"))    # shows itself in a notebook
    write_page(Path("runs/diff-a-b"))           # diff.html, diff.md and diff.tex in it

A page is one file and asks for nothing. Whatever a model wrote is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.artifacts import read_json, write_text
from reasonmaxxer.errors import UserError
from reasonmaxxer.report.content import Content
from reasonmaxxer.report.microscope import diff, distill, intervene, overlap
from reasonmaxxer.report.render import to_html, write_content

DRAWN: dict[str, Callable[[Path, dict[str, Any]], Content]] = {
    "diff": diff.content,
    "intervene": intervene.content,
    "overlap": overlap.content,
    "distill": distill.content,
}
"""Pages by the command that filled the folder."""


@dataclass(frozen=True)
class MicroscopePage:
    """The page of one folder as HTML; the last expression of a notebook cell shows it.

    Attributes:
        html: a whole page.
        content: what it holds.
    """

    html: str
    content: Content

    @classmethod
    def of(cls, folder: Path) -> MicroscopePage:
        """Draw the page of a folder that `diff`, `intervene`, `overlap` or `distill` filled.

        Raises:
            UserError: it holds no finished comparison.
        """
        content = read_content(folder)
        return cls(to_html(content), content)

    def save(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        write_text(self.html, path)

    def _repr_html_(self) -> str:
        page = html.escape(self.html)
        return f'<iframe srcdoc="{page}" style="width:100%;height:85vh;border:0"></iframe>'


def write_page(folder: Path) -> dict[str, Path]:
    """Write a folder's page and tables into it; the paths by kind: `html`, `md` and `tex`.

    Raises:
        UserError: it holds no finished comparison.
    """
    content = read_content(folder)
    written = {kind: folder / f"{content.command}.{kind}" for kind in ("html", "md", "tex")}
    write_content(content, *written.values())
    return written


def read_content(folder: Path) -> Content:
    """What the page of a folder holds.

    Raises:
        UserError: it holds no finished comparison.
    """
    path = folder / "summary.json"
    found = read_json(path) if path.is_file() else {}
    command = found.get("command", "distill" if "teacher" in found else None)
    if command not in DRAWN:
        raise UserError(
            f"{folder} holds no finished comparison of models: its summary.json is missing or of another "
            f"kind. Give a folder that {', '.join(f'`reasonmaxxer {name}`' for name in DRAWN)} filled."
        )
    return DRAWN[command](folder, found)
