"""The token viewer: completions as text, every token with what base and adapted model thought of it.

`viewer_data` gathers what a run's inspection stage left into one JSON value, `viewer_fragment` makes
an HTML fragment of it that works anywhere on a page, any number of times, without a network. Nothing
a model wrote ever becomes markup: it travels as escaped JSON and is shown through `textContent`.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.report.microscope.viewer_data import diff_data
from reasonmaxxer.report.pieces import Pieces, change, opinion

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("shading.js", "inspector.js", "sidebar.js", "strip.js", "panes.js", "viewer.js")
ARMS = ("base", "adapted")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Content security policy of a stand-alone page: nothing is fetched, whatever happens."""


class TokenViewer:
    """Completions under base and adapted model, as a notebook or a page shows them.

    Args:
        data: of `viewer_data` or `diff_data`.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @classmethod
    def from_run(cls, path: str | Path) -> TokenViewer:
        """The viewer of a run directory; no model is loaded.

        Raises:
            UserError: the folder has no finished inspection.
        """
        return cls(viewer_data(Path(path)))

    @classmethod
    def from_diff(cls, path: str | Path, texts: int | None = None) -> TokenViewer:
        """The viewer of a folder of `reasonmaxxer diff`; no model is loaded.

        Args:
            path: the folder.
            texts: how many of its texts, in order; None for all.

        Raises:
            UserError: the folder has no finished comparison.
        """
        return cls(diff_data(Path(path), texts))

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
        data: of `viewer_data`, `diff_data` or `intervention_data`.
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


def viewer_data(run: Path) -> dict[str, Any]:
    """What the viewer of a run shows, as one JSON value.

    Nats are whole thousandths, tokens are places in `pieces`, positions count from 0:

    - `model`; `arms`, the names of the two models; `mark`, what its outlined positions are called, one
      and many; `shades`, `splits` and `outcomes`, what can be chosen; `beside`, whether it opens with two
      completions side by side
    - `gate`: `kind` and `tau` of the gate that training chose
    - `pieces`: `[token id, text, kind]`
    - `problems`: `id`, `split`, `text`, `answer`, `change` (`gained`, `lost` or empty)
    - `rollouts`: `problem`, `arm`, `number`, `outcome`, `extracted`, `truncated`, `advantage`,
      `tokens`, `decisions` (positions), `split` (`[first, last, text]` of tokens that are characters
      only together), and for `base` and `adapted` the lists `entropy`, `logprob`
      and `rank` by token, `top` and `top_logprob` (the most likely tokens of each position)

    Args:
        run: the run directory; problems, rollouts, training and inspection are complete.

    Raises:
        UserError: the folder has no finished inspection.
    """
    if not (run / "inspection" / "stage.json").is_file():
        raise UserError(
            f"{run} has no finished inspection, which the viewer shows. Give the folder of a run that "
            "came to its end (`reasonmaxxer run`)."
        )
    tokens = read_table(run / "inspection" / "tokens.parquet").to_pylist()
    pieces = Pieces(read_table(run / "inspection" / "vocabulary.parquet"))
    problems = _problems(run, tokens)
    numbers = {(p["split"], p["id"]): number for number, p in enumerate(problems)}
    gate = read_json(run / "training" / "stage.json")["counts"]["gate"]
    return {
        "model": read_json(run / "evaluation" / "stage.json")["counts"]["model"]["name"],
        "arms": list(ARMS),
        "mark": ["decision point", "decision points"],
        "shades": ["entropy", "change", "advantage", "rank"],
        "splits": ["all", "train", "test"],
        "outcomes": ["all", "correct", "wrong", "gained", "lost"],
        "beside": False,
        "gate": {"kind": gate["kind"], "tau": gate["tau"]},
        "pieces": pieces.shown,
        "problems": problems,
        "rollouts": [_rollout(row, numbers[row["split"], row["problem_id"]], pieces) for row in tokens],
    }


def _problems(run: Path, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The problems that occur, in order of first appearance."""
    outcomes: dict[tuple[str, str], dict[str, bool]] = {}
    for row in tokens:
        arms = outcomes.setdefault((row["split"], row["problem_id"]), {})
        arms[row["arm"]] = row["outcome"] == "correct"
    rows = {
        (split, row["id"]): row
        for split in ("train", "test")
        for row in read_table(run / "problems" / f"{split}.parquet").to_pylist()
    }
    return [
        {
            "id": id,
            "split": split,
            "text": rows[split, id]["text"],
            "answer": rows[split, id]["answer"],
            "change": change(arms["base"], arms["adapted"]) if split == "test" else "",
        }
        for (split, id), arms in outcomes.items()
    ]


def _rollout(row: dict[str, Any], problem: int, pieces: Pieces) -> dict[str, Any]:
    return {
        "problem": problem,
        "arm": row["arm"],
        "number": row["rollout"],
        "outcome": row["outcome"],
        "extracted": row["extracted"],
        "truncated": row["finish_reason"] == "length",
        "advantage": None if row["advantage"] is None else round(row["advantage"], 4),
        "tokens": pieces.places(row["ids"]),
        "decisions": np.flatnonzero(row["decision"]).tolist(),
        "split": pieces.split(row["ids"]),
        **{arm: opinion(row, arm, "top_ids", "top_logprobs", pieces) for arm in ARMS},
    }
