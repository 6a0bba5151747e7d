"""What the token viewer shows of a folder, as one JSON value; no model is loaded.

A run, `diff` and `intervene` keep different tables. Each becomes a list of `_Text`, and one function makes the
viewer's problems, completions and tokens of them, with the same names for the same things.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from reasonmaxxer.artifacts import read_json, read_table
from reasonmaxxer.config.policies import REVERSE
from reasonmaxxer.errors import UserError
from reasonmaxxer.microscope.pair import ARMS
from reasonmaxxer.microscope.policies import HIGHLIGHTED, POLICIES, folder_name
from reasonmaxxer.report.pieces import Pieces, thousandths
from reasonmaxxer.rollouts.collect import read_columns

ANSWER_COLUMNS = ("problem_id", "completion_ids", "outcome", "extracted", "detail", "finish_reason")
SHOWN_POLICIES = (*HIGHLIGHTED, *(name for name, kind in POLICIES.items() if kind.control))
"""Policies that the viewer of an intervention prefers to show."""

VIEWS: dict[str, dict[str, Any]] = {
    "run": {
        "arms": ["base", "adapted"],
        "mark": ["decision point", "decision points"],
        "shades": ["entropy", "change", "advantage", "rank", "class", "jsd"],
        "splits": ["all", "train", "test"],
        "outcomes": ["all", "correct", "wrong", "gained", "lost"],
        "beside": False,
    },
    "diff": {
        "arms": [*ARMS],
        "mark": ["edit", "edits"],
        "shades": ["class", "jsd", "entropy", "change", "rank"],
        "splits": [],
        "outcomes": ["all", "correct", "wrong"],
        "beside": False,
    },
    "intervene": {
        "arms": [*ARMS],
        "mark": ["edit", "edits"],
        "shades": ["edits"],
        "splits": [],
        "outcomes": ["all", "correct", "wrong", "gained", "lost"],
        "beside": True,
    },
}
"""What a viewer offers, by the command that filled the folder."""
NO_GATE = {"kind": "none", "tau": None}

Row = Mapping[str, Any]
Key = tuple[str, str]
"""Split and id of a problem; the split is empty where a folder has only one."""


@dataclass(frozen=True)
class _Text:
    """One completion.

    Attributes:
        problem: that it answers.
        name: short name in the list of completions.
        title: over its text.
        row: `ids`, `outcome`, `extracted`, `detail`, `finish_reason`; of one that both models have read, all of
            `POSITIONS`.
        decisions: positions that are outlined.
        edits: what an intervention decided in it, rows of `EDITS`; None where there was no intervention.
        beside: place of the completion to compare it with; None leaves the choice to the viewer.
    """

    problem: Key
    name: str
    title: str
    row: Row
    decisions: list[int]
    edits: Sequence[Row] | None = None
    beside: int | None = None


def viewer_data(folder: Path, limit: int | None = None, tokens: int | None = None) -> dict[str, Any]:
    """What the viewer shows of a folder.

    Nats are whole thousandths, tokens are places in `pieces`, positions count from 0:

    - `model`; `arms`, the names of base and tuned model; `mark`, what outlined positions are called, one and
      many; `shades`, `splits` and `outcomes`, what can be chosen; `beside`, whether it opens with two
      completions side by side; `left_out`, texts (of `intervene`, problems) that are not shown
    - `gate`: `kind` and `tau` of the gate that training chose, of several rounds the first one's
    - `pieces`: `[token id, text, kind]`
    - `problems`: `id`, `split`, `text`, `answer`, `code` (whether that is a program), `change` (`gained`, `lost` or
      empty)
    - `rollouts`: `problem`, `name`, `title`, `outcome`, `extracted`, `detail`, `truncated`, `advantage`, `tokens`,
      `decisions` (positions), `split` (`[first, last, text]` of tokens that are characters only together). Of
      completions that both models have read also, by token, `kind` (0 unshifted, 1 reranked, 2 shifted),
      `jsd`, `forward` (rank of the tuned model's choice under the base), and for `base` and `tuned` the lists
      `entropy`, `logprob`, `rank`, `top` and `top_logprob` (the most likely tokens of each position). Of
      answers of `intervene` instead `edits`, `[position, place of the host's token, of the one put in, entropy of
      the base]`, and `beside`, the place of the answer to compare with: its host's own

    Args:
        folder: of a finished `run`, `diff` or `intervene`.
        limit: how many texts (of `intervene`, problems), in order; None for all. A run shows all.
        tokens: how many all texts of `diff` may have together, at least one text; None for any number.

    Raises:
        UserError: the folder holds none of these, or is not finished.
    """
    if (folder / "inspection" / "stage.json").is_file():
        return VIEWS["run"] | _run_data(folder)
    summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
    command = summary.get("command")
    if command not in ("diff", "intervene"):
        raise UserError(
            f"{folder} has nothing that the viewer shows: give the folder of a finished `reasonmaxxer run`, with its "
            "inspection, of `reasonmaxxer diff` or of `reasonmaxxer intervene`."
        )
    model = f"{summary['base']['name']} and {summary['tuned']['name']}"
    shown = _diff_data(folder, summary, limit, tokens) if command == "diff" else _edits_data(folder, summary, limit)
    return VIEWS[command] | {"model": model, "gate": NO_GATE} | shown


def _run_data(run: Path) -> dict[str, Any]:
    rows = read_table(run / "inspection" / "tokens.parquet").to_pylist()
    signal, training = (read_json(run / stage / "stage.json")["counts"] for stage in ("signal", "training"))
    gate = signal["gates"][training["gate_number"]]
    problems = {
        (split, row["id"]): row
        for split in ("train", "test")
        for row in read_table(run / "problems" / f"{split}.parquet").to_pylist()
    }
    right = {(row["arm"], row["problem_id"]): _is_right(row) for row in rows if row["split"] == "test"}
    changes = {("test", id): change(right["base", id], right["adapted", id]) for _, id in right}
    return {
        "model": read_json(run / "evaluation" / "stage.json")["counts"]["model"]["name"],
        "gate": {"kind": gate["kind"], "tau": gate["tau"]},
        "left_out": 0,
        **_shown([_inspected(row) for row in rows], problems, changes, run / "inspection"),
    }


def _inspected(row: Row) -> _Text:
    number, arm = row["rollout"], row["arm"]
    name, title = (f"{number}", f"rollout {number}") if row["split"] == "train" else (arm, f"{arm}, greedy")
    return _Text((row["split"], row["problem_id"]), name, title, row, _places(row["decision"]))


def _diff_data(folder: Path, summary: Row, texts: int | None, tokens: int | None) -> dict[str, Any]:
    source = summary["protocol"]["text"]
    shown = [_compared(row, source) for row in _first(_positions(folder), texts, tokens)]
    return {"left_out": summary["texts"] - len(shown), **_shown(shown, _problems(folder), {}, folder / "vocabulary")}


def _positions(folder: Path) -> Iterator[Row]:
    for path in sorted((folder / "positions").glob("shard-*.parquet")):
        for batch in read_table(path).to_batches(max_chunksize=16):
            yield from batch.to_pylist()


def _first(rows: Iterator[Row], texts: int | None, tokens: int | None) -> Iterator[Row]:
    """Rows up to a number of texts and of tokens, at least one."""
    total = 0
    for number, row in enumerate(islice(rows, texts)):
        total += len(row["ids"])
        if tokens is not None and number and total > tokens:
            return
        yield row


def _compared(row: Row, source: str) -> _Text:
    """A text that both models have read.

    Args:
        row: of `POSITIONS`.
        source: whose answers were read: an arm's, or a file's.
    """
    name, title = (source, f"{source}, greedy") if source in ARMS else ("given", "given answer")
    return _Text(("", row["problem_id"]), f"{row['rollout'] or name}", title, row, _places(row["kind"]))


def _edits_data(folder: Path, summary: Row, limit: int | None) -> dict[str, Any]:
    """Answers of both models and of some policies; problems whose outcome changes come first."""
    answers: dict[str, dict[str, Row]] = {arm: _answers(folder / f"{arm}-greedy") for arm in ARMS}
    changes = {id: change(_is_right(row), _is_right(answers["tuned"][id])) for id, row in answers["base"].items()}
    chosen = sorted(changes, key=lambda id: not changes[id])[:limit]
    edits = {}
    names = [row["name"] for row in summary["rows"][2:]]
    for name in [n for n in SHOWN_POLICIES if n in names] or names[: len(SHOWN_POLICIES)]:
        outputs = folder / "outputs" / folder_name(name)
        answers[name], edits[name] = _answers(outputs), _edits(outputs)
    texts: list[_Text] = []
    for id in chosen:
        first = len(texts)
        for name, made in answers.items():
            own = edits.get(name, {}).get(id, [])
            # a model's own answer stands beside the other model's, a policy's beside its host's
            beside = first + (name == "base" or name.startswith(REVERSE))
            title = f"{name}, greedy" if name in ARMS else name
            decisions = [edit["position"] for edit in own if edit["changed"]]
            texts.append(_Text(("", id), name, title, made[id], decisions, own, beside))
    keyed = {("", id): to for id, to in changes.items()}
    return {"left_out": len(changes) - len(chosen), **_shown(texts, _problems(folder), keyed, folder / "vocabulary")}


def _answers(folder: Path) -> dict[str, Row]:
    """Answers by problem."""
    return {row["problem_id"]: {"ids": row["completion_ids"], **row} for row in read_columns(folder, ANSWER_COLUMNS)}


def _edits(folder: Path) -> dict[str, list[Row]]:
    """What a policy decided, by problem."""
    by_problem: dict[str, list[Row]] = {}
    for row in read_table(folder / "edits.parquet").to_pylist():
        by_problem.setdefault(row["problem_id"], []).append(row)
    return by_problem


def _problems(folder: Path) -> dict[Key, Row]:
    return {("", row["id"]): row for row in read_table(folder / "problems" / "problems.parquet").to_pylist()}


def _shown(
    texts: Sequence[_Text], problems: Mapping[Key, Row], changes: Mapping[Key, str], vocabulary: Path
) -> dict[str, Any]:
    """`pieces`, `problems` and `rollouts` of texts.

    Args:
        texts: in order.
        problems: theirs at least.
        changes: of their outcomes, where there was one.
        vocabulary: folder with `vocabulary.parquet`.
    """
    pieces = Pieces(read_table(vocabulary / "vocabulary.parquet"))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(text.problem for text in texts))}
    return {
        "pieces": pieces.shown,
        "problems": [
            {
                "id": problems[key]["id"],
                "split": key[0],
                "text": problems[key]["text"],
                "answer": problems[key]["answer"],
                "code": problems[key]["verifier"] == "code",
                "change": changes.get(key, ""),
            }
            for key in numbers
        ],
        "rollouts": [_rollout(text, numbers[text.problem], pieces) for text in texts],
    }


def _rollout(text: _Text, problem: int, pieces: Pieces) -> dict[str, Any]:
    row, taught = text.row, text.row.get("advantage")
    scores = _scores(row, pieces) if "kind" in row else {}
    edits = {} if text.edits is None else {"edits": [_edit(e, pieces) for e in text.edits], "beside": text.beside}
    return {
        "problem": problem,
        "name": text.name,
        "title": text.title,
        "outcome": row["outcome"],
        "extracted": row["extracted"],
        "detail": row.get("detail"),  # tables of version 0.2 have none
        "truncated": row["finish_reason"] == "length",
        "advantage": None if taught is None else round(taught, 4),
        "tokens": pieces.places(row["ids"]),
        "decisions": text.decisions,
        "split": pieces.split(row["ids"]),
        **scores,
        **edits,
    }


def _scores(row: Row, pieces: Pieces) -> dict[str, Any]:
    """Both models' scores of each token, of a row of `POSITIONS`."""
    of_arm: dict[str, Any] = {
        arm: {
            "entropy": thousandths(row[f"{arm}_entropy"]),
            "logprob": thousandths(row[f"{arm}_logprob"]),
            "rank": row[f"{arm}_rank"],
            "top": [pieces.places(ids) for ids in row[f"{arm}_top"]],
            "top_logprob": [thousandths(values) for values in row[f"{arm}_top_logprob"]],
        }
        for arm in ARMS
    }
    return {"kind": row["kind"], "jsd": thousandths(row["jsd"]), "forward": row["forward_rank"], **of_arm}


def _edit(edit: Row, pieces: Pieces) -> list[int]:
    tokens = pieces.places([edit["host_id"], edit["emitted_id"]])
    return [edit["position"], *tokens, *thousandths([edit["base_entropy"]])]


def _places(marked: Sequence[Any]) -> list[int]:
    places: list[int] = np.flatnonzero(marked).tolist()
    return places


def _is_right(row: Row) -> bool:
    return bool(row["outcome"] == "correct")


def change(before: bool, after: bool) -> str:
    """`gained`, `lost` or empty, by whether an answer is right before and after."""
    if before == after:
        return ""
    return "gained" if after else "lost"
