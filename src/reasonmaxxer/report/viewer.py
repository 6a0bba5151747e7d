"""The token viewer: completions as text, every token with what base and adapted model thought of it.

`viewer_data` gathers what a run, `diff` or `intervene` left into one JSON value, `viewer_fragment` makes an HTML
fragment of it that works anywhere on a page, any number of times, without a network. Nothing a model wrote ever
becomes markup: it travels as escaped JSON and is shown through `textContent`.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from reasonmaxxer.report.viewer_data import viewer_data

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("shading.js", "inspector.js", "sidebar.js", "strip.js", "panes.js", "viewer.js")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Content security policy of a stand-alone page: nothing is fetched, whatever happens."""


class TokenViewer:
    """Completions under two models, as a notebook or a page shows them.

    Args:
        data: of `viewer_data`.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @classmethod
    def of(cls, folder: str | Path, limit: int | None = None) -> TokenViewer:
        """The viewer of a folder of `run`, `diff` or `intervene`; no model is loaded.

        Args:
            folder: of the finished command.
            limit: how many texts of `diff`, or problems of `intervene`, in order; None for all.

        Raises:
            UserError: the folder holds none of these, or is not finished.
        """
        return cls(viewer_data(Path(folder), limit))

    def to_html(self) -> str:
        """A page that needs nothing but itself."""
        title = f"Tokens of {html.escape(self.data['model'])}"
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>body {{ margin: 0 }} "
            ".token-viewer { --viewer-height: 100vh; border: 0; border-radius: 0 }"
            f"</style></head><body>{viewer_fragment(self.data)}</body></html>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the page; it opens offline and can be sent to anyone."""
        target = Path(path)
        target.write_text(self.to_html(), encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        """For notebooks: a sandboxed frame, so that its styles and keys stay its own."""
        page = html.escape(self.to_html(), quote=True)
        style = "width: 100%; height: 720px; border: 1px solid #8884; border-radius: 8px"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'


def viewer_fragment(data: dict[str, Any]) -> str:
    """Style, data and script as one `<section>`, to be put into a page as it is.

    Args:
        data: of `viewer_data`.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # pure ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    style = (STATIC / "viewer.css").read_text(encoding="utf-8")
    scripts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return (
        '<section class="token-viewer" aria-label="Token viewer" tabindex="-1">'
        f"<style>{style}</style>"
        f'<script type="application/json">{text}</script>'
        f'<script>(() => {{\n"use strict";\n{scripts}}})();</script></section>'
    )
