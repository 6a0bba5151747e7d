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
import pyarrow as pa

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.report.visible import split_characters, visible

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("shading.js", "inspector.js", "sidebar.js", "strip.js", "panes.js", "viewer.js")
ARMS = ("base", "adapted")
PLAIN, ESCAPED, SPECIAL = 0, 1, 2
"""Kinds of token: text, partly bytes or control characters, a special token's name."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Content security policy of a stand-alone page: nothing is fetched, whatever happens."""


class TokenViewer:
    """Completions under base and adapted model, as a notebook or a page shows them.

    Args:
        data: of `viewer_data`.
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


def viewer_data(run: Path) -> dict[str, Any]:
    """What the viewer of a run shows, as one JSON value.

    Nats are whole thousandths, tokens are places in `pieces`, positions count from 0:

    - `model`; `gate`: `kind` and `tau` of the gate that training chose
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
    vocabulary = read_table(run / "inspection" / "vocabulary.parquet")
    places = {id: place for place, id in enumerate(vocabulary["id"].to_pylist())}
    bytes_of = dict(zip(vocabulary["id"].to_pylist(), vocabulary["piece"].to_pylist(), strict=True))
    problems = _problems(run, tokens)
    numbers = {(p["split"], p["id"]): number for number, p in enumerate(problems)}
    gate = read_json(run / "training" / "stage.json")["counts"]["gate"]
    return {
        "model": read_json(run / "evaluation" / "stage.json")["counts"]["model"]["name"],
        "gate": {"kind": gate["kind"], "tau": gate["tau"]},
        "pieces": _pieces(vocabulary),
        "problems": problems,
        "rollouts": [
            _rollout(row, numbers[row["split"], row["problem_id"]], places)
            | {"split": split_characters([bytes_of[id] for id in row["ids"]])}
            for row in tokens
        ],
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
            "change": _change(arms) if split == "test" else "",
        }
        for (split, id), arms in outcomes.items()
    ]


def _change(correct: dict[str, bool]) -> str:
    if correct["base"] == correct["adapted"]:
        return ""
    return "gained" if correct["adapted"] else "lost"


def _rollout(row: dict[str, Any], problem: int, places: dict[int, int]) -> dict[str, Any]:
    return {
        "problem": problem,
        "arm": row["arm"],
        "number": row["rollout"],
        "outcome": row["outcome"],
        "extracted": row["extracted"],
        "truncated": row["finish_reason"] == "length",
        "advantage": None if row["advantage"] is None else round(row["advantage"], 4),
        "tokens": [places[id] for id in row["ids"]],
        "decisions": np.flatnonzero(row["decision"]).tolist(),
        **{arm: _opinion(row, arm, places) for arm in ARMS},
    }


def _opinion(row: dict[str, Any], arm: str, places: dict[int, int]) -> dict[str, Any]:
    return {
        "entropy": _thousandths(row[f"{arm}_entropy"]),
        "logprob": _thousandths(row[f"{arm}_logprob"]),
        "rank": row[f"{arm}_rank"],
        "top": [[places[id] for id in ids] for ids in row[f"{arm}_top_ids"]],
        "top_logprob": [_thousandths(values) for values in row[f"{arm}_top_logprobs"]],
    }


def _thousandths(nats: list[float]) -> list[int]:
    """Whole thousandths; a logit of minus infinity shows as -9999 nats."""
    whole: list[int] = np.rint(np.maximum(nats, -9999.0) * 1000).astype(np.int64).tolist()
    return whole


def _pieces(vocabulary: pa.Table) -> list[tuple[int, str, int]]:
    pieces = []
    for row in vocabulary.to_pylist():
        text, escaped = visible(row["piece"])
        kind = SPECIAL if row["special"] else ESCAPED if escaped else PLAIN
        pieces.append((row["id"], text, kind))
    return pieces
