"""The pages' templates: whatever they are given is escaped, and a name that is not given is an error."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reasonmaxxer.report.visible import visible_text

FOLDER = Path(__file__).parent


def fill(name: str, **values: Any) -> str:
    """A page as text, in the style of `report.css`."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible_text
    environment.filters["unbroken"] = _unbroken
    css = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(name).render(css=css, **values)


def _unbroken(rows: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Cells whose intervals, as in `0.50 [0.40, 0.60]`, stay on one line."""
    return [[re.sub(r"\[[^\[\]]*\]", _one_line, cell) for cell in row] for row in rows]


def _one_line(found: re.Match[str]) -> str:
    return found[0].replace(" ", "\u00a0")
