"""The pages' templates: whatever they are given is escaped, and a name that is not given is an error."""

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
    css = Markup((FOLDER / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(name).render(css=css, **values)
