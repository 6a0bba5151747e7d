"""Texts of a microscope's folder in the form of the token viewer; no model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope.policies import HIGHLIGHTED, POLICIES, REVERSE, folder_name
from reasonmaxxer.report.pieces import Pieces, change, opinion, thousandths

ARMS = ["base", "tuned"]
MARK = ["edit", "edits"]
NO_GATE = {"kind": "none", "tau": None}
TEXT_COLUMNS = ("problem_id", "completion_ids", "outcome", "extracted", "finish_reason")

SHOWN_POLICIES = (*HIGHLIGHTED, *(name for name, kind in POLICIES.items() if kind.control))
"""Policies that the viewer of an intervention prefers to show."""

Row = Mapping[str, Any]


def diff_data(folder: Path, texts: int | None = None, tokens: int | None = None) -> dict[str, Any]:
    """What the viewer shows of a folder of `diff`, in the form of `viewer_data`.

    A rollout also has, by token, `kind` (0 unshifted, 1 reranked, 2 shifted), `jsd` (thousandths of a
    nat) and `forward` (rank of the tuned model's choice under the base); its `decisions` are the edits,
    the positions where the choices differ. `left_out` counts the texts that are not shown.

    Args:
        folder: of the comparison.
        texts: how many, in order; None for all.
        tokens: how many all of them may have together, at least one text; None for any number.

    Raises:
        UserError: the folder has no finished comparison.
    """
    summary = _summary(folder, "diff")
    pieces = Pieces(read_table(folder / "vocabulary.parquet"))
    rows = list(_first(_positions(folder), texts, tokens))
    numbers = {id: number for number, id in enumerate(dict.fromkeys(r["problem_id"] for r in rows))}
    return {
        "model": f"{summary['base']['name']} and {summary['tuned']['name']}",
        "arms": ARMS,
        "mark": MARK,
        "shades": ["class", "jsd", "entropy", "change", "rank"],
        "splits": [],
        "outcomes": ["all", "correct", "wrong"],
        "beside": False,
        "gate": NO_GATE,
        "left_out": summary["texts"] - len(rows),
        "pieces": pieces.shown,
        "problems": _problems(folder, numbers, {}),
        "rollouts": [_read_text(row, numbers[row["problem_id"]], pieces, summary["protocol"]["text"]) for row in rows],
    }


def _summary(folder: Path, command: str) -> dict[str, Any]:
    path = folder / "summary.json"
    summary: dict[str, Any] = read_json(path) if path.is_file() else {}
    if summary.get("command") != command:
        raise UserError(f"{folder} has no finished comparison of `reasonmaxxer {command}`, which the viewer shows.")
    return summary


def _positions(folder: Path) -> Iterator[Row]:
    for path in sorted((folder / "positions").glob("shard-*.parquet")):
        for batch in read_table(path).to_batches(max_chunksize=16):
            yield from batch.to_pylist()


def _first(rows: Iterator[Row], texts: int | None, tokens: int | None) -> Iterator[Row]:
    """Rows up to a number of texts and of tokens."""
    total = 0
    for number, row in enumerate(rows):
        total += len(row["ids"])
        if number == texts or (tokens is not None and number and total > tokens):
            return
        yield row


def _problems(folder: Path, numbers: Mapping[str, int], changes: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = read_table(folder / "problems.parquet", ["id", "text", "answer"]).to_pylist()
    by_id = {row["id"]: row for row in rows}
    return [{**by_id[id], "split": "", "change": changes.get(id, "")} for id in numbers]


def _read_text(row: Row, problem: int, pieces: Pieces, text: str) -> dict[str, Any]:
    """A text that both models have read."""
    whose = text if text in ARMS else "given"
    return {
        **_answer(row, problem, row["ids"], pieces),
        "arm": whose,
        "number": row["rollout"],
        "name": f"{row['rollout']}" if row["rollout"] else whose,
        "title": f"{whose} answer" if whose == "given" else f"{whose}, greedy",
        "decisions": np.flatnonzero(row["kind"]).tolist(),
        "kind": row["kind"],
        "jsd": thousandths(row["jsd"]),
        "forward": row["forward_rank"],
        **{arm: opinion(row, arm, "top", "top_logprob", pieces) for arm in ARMS},
    }


def _answer(row: Row, problem: int, ids: Sequence[int], pieces: Pieces) -> dict[str, Any]:
    return {
        "problem": problem,
        "outcome": row["outcome"],
        "extracted": row["extracted"],
        "truncated": row["finish_reason"] == "length",
        "advantage": None,
        "tokens": pieces.places(ids),
        "split": pieces.split(ids),
    }


def intervention_data(folder: Path, problems: int | None = None) -> dict[str, Any]:
    """What the viewer shows of a folder of `intervene`, in the form of `viewer_data`.

    Rollouts have no opinions of the models: of an edit the base's entropy is known, and what the host
    would have said. `edits` lists `[position, place of the host's token, of the one put in, entropy]`,
    `decisions` the positions where the two differ; `beside` is the place of the answer that it is best
    held against, its host's own.

    Args:
        folder: of the intervention.
        problems: how many, those whose outcome changes first; None for all.

    Raises:
        UserError: the folder has no finished intervention.
    """
    summary = _summary(folder, "intervene")
    answers = {arm: _answers(folder / f"{arm}-greedy") for arm in ARMS}
    outcomes = {
        id: change(answers["base"][id]["outcome"] == "correct", row["outcome"] == "correct")
        for id, row in answers["tuned"].items()
    }
    chosen = sorted(outcomes, key=lambda id: not outcomes[id])[:problems]
    names = [row["name"] for row in summary["rows"][2:]]
    policies = [name for name in SHOWN_POLICIES if name in names] or names[: len(SHOWN_POLICIES)]
    outputs = {name: folder / "outputs" / folder_name(name) for name in policies}
    made = {name: _answers(path) for name, path in outputs.items()}
    edits = {name: _edits(path) for name, path in outputs.items()}
    pieces = Pieces(read_table(folder / "vocabulary.parquet"))
    numbers = {id: number for number, id in enumerate(chosen)}
    rollouts: list[dict[str, Any]] = []
    for id in chosen:
        first = len(rollouts)
        rows = {**{arm: answers[arm][id] for arm in ARMS}, **{n: made[n][id] for n in policies}}
        rollouts += [
            _intervened(row, name, numbers[id], edits.get(name, {}).get(id, []), pieces)
            | {"beside": first + (name == "base" or name.startswith(REVERSE))}
            for name, row in rows.items()
        ]
    return {
        "model": f"{summary['base']['name']} and {summary['tuned']['name']}",
        "arms": ARMS,
        "mark": MARK,
        "shades": ["edits"],
        "splits": [],
        "outcomes": ["all", "correct", "wrong", "gained", "lost"],
        "beside": True,
        "gate": NO_GATE,
        "left_out": len(outcomes) - len(chosen),
        "pieces": pieces.shown,
        "problems": _problems(folder, numbers, outcomes),
        "rollouts": rollouts,
    }


def _answers(folder: Path) -> dict[str, Row]:
    """Answers by problem."""
    return {
        row["problem_id"]: row
        for path in sorted(folder.glob("shard-*.parquet"))
        for row in read_table(path, TEXT_COLUMNS).to_pylist()
    }


def _edits(folder: Path) -> dict[str, list[Row]]:
    """What a policy decided, by problem."""
    found: dict[str, list[Row]] = {}
    for row in read_table(folder / "edits.parquet").to_pylist():
        found.setdefault(row["problem_id"], []).append(row)
    return found


def _intervened(row: Row, name: str, problem: int, edits: Sequence[Row], pieces: Pieces) -> dict[str, Any]:
    """An answer that a policy made, or one of the models alone."""
    return {
        **_answer(row, problem, row["completion_ids"], pieces),
        "arm": name,
        "number": 0,
        "name": name,
        "title": f"{name}, greedy" if name in ARMS else name,
        "decisions": [edit["position"] for edit in edits if edit["changed"]],
        "edits": [
            [
                edit["position"],
                *pieces.places([edit["host_id"], edit["emitted_id"]]),
                *thousandths([edit["base_entropy"]]),
            ]
            for edit in edits
        ],
    }
