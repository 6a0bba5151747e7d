"""A few sequences under both models, token by token: what the viewer shows.

Training rollouts come with the advantage and the decision points they taught with; test completions
come in pairs, one of each arm, gained and lost problems first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from reasonmaxxer.artifacts import write_table
from reasonmaxxer.config import InspectionConfig
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.selection import Example
from reasonmaxxer.microscope.positions import PositionScores, score_positions
from reasonmaxxer.microscope.states import TokenSequence
from reasonmaxxer.microscope.vocabulary import pieces_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.table import Rollout

ARMS = ("base", "adapted")
_OPINION = (
    ("entropy", pa.list_(pa.float32())),
    ("logprob", pa.list_(pa.float32())),
    ("rank", pa.list_(pa.int32())),
    ("top_ids", pa.list_(pa.list_(pa.int32()))),
    ("top_logprobs", pa.list_(pa.list_(pa.float32()))),
)
TOKENS = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("rollout", pa.int32(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("extracted", pa.string()),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("advantage", pa.float64()),
        pa.field("ids", pa.list_(pa.int32()), nullable=False),
        pa.field("decision", pa.list_(pa.bool_()), nullable=False),
        *(pa.field(f"{arm}_{name}", type, nullable=False) for arm in ARMS for name, type in _OPINION),
    ]
)


@dataclass(frozen=True)
class Specimen:
    """One completion to look at.

    Attributes:
        rollout: the completion.
        split: `train` or `test`.
        arm: who sampled it, `base` or `adapted`.
        example: how it taught; None of one that did not.
    """

    rollout: Rollout
    split: str
    arm: str
    example: Example | None = None

    @property
    def key(self) -> str:
        """Identity within the run; of an example, the one that it was trained under."""
        name = f"{self.rollout.problem_id}#{self.rollout.rollout}"
        return name if self.split == "train" else f"{self.split}/{self.arm}/{name}"


def choose_specimens(run: Path, examples: Sequence[Example], config: InspectionConfig) -> list[Specimen]:
    """What the viewer of a run shows.

    Args:
        run: its folder; rollouts and evaluation are complete.
        examples: what it trained on.
        config: how many problems of each split.
    """
    base, adapted = (read_rollouts(run / "evaluation" / f"{arm}-greedy") for arm in ARMS)
    train = choose_train(read_rollouts(run / "rollouts"), examples, config.train_problems)
    return train + choose_test(base, adapted, config.test_problems)


def choose_train(rollouts: Sequence[Rollout], examples: Sequence[Example], count: int) -> list[Specimen]:
    """All rollouts of the first `count` problems that taught, nearest the edge of competence first."""
    taught = {example.key: example for example in examples}
    problems = list(dict.fromkeys(example.problem_id for example in examples))[:count]
    specimens = [Specimen(r, "train", "base") for r in rollouts]
    return [
        Specimen(s.rollout, s.split, s.arm, taught.get(s.key))
        for problem in problems
        for s in specimens
        if s.rollout.problem_id == problem
    ]


def choose_test(base: Sequence[Rollout], adapted: Sequence[Rollout], count: int) -> list[Specimen]:
    """Both arms' greedy completions of `count` problems: gained and lost ones in turn, then the rest.

    Args:
        base: one completion a problem.
        adapted: of the same problems in the same order.
        count: of problems.
    """
    pairs = list(zip(base, adapted, strict=True))
    gained = [pair for pair in pairs if pair[1].reward > pair[0].reward]
    lost = [pair for pair in pairs if pair[1].reward < pair[0].reward]
    changed = [*gained, *lost]
    in_turn = sorted(changed, key=lambda p: (gained if p in gained else lost).index(p))
    rest = [pair for pair in pairs if pair not in changed]
    return [
        Specimen(rollout, "test", arm)
        for pair in [*in_turn, *rest][:count]
        for arm, rollout in zip(ARMS, pair, strict=True)
    ]


def inspect_tokens(
    specimens: Sequence[Specimen], gate: Gate, model: Any, on_scored: Callable[[int], None] | None = None
) -> pa.Table:
    """Score every completion under base and adapted model.

    Args:
        specimens: what to look at.
        gate: the one that training chose.
        model: the adapted model; its adapter is off for the base's scores.
        on_scored: called with the tokens of each sequence, once a model.

    Returns:
        A table of `TOKENS`, one row a completion. Decision points are those that training used, and
        elsewhere what the gate says of the base's entropy.
    """
    sequences = [TokenSequence.of(specimen.rollout) for specimen in specimens]
    with model.disable_adapter():
        base = score_positions(sequences, model, on_scored)
    adapted = score_positions(sequences, model, on_scored)
    rows = [_row(*found, gate) for found in zip(specimens, base, adapted, strict=True)]
    return pa.Table.from_pylist(rows, schema=TOKENS)


def _row(specimen: Specimen, base: PositionScores, adapted: PositionScores, gate: Gate) -> dict[str, Any]:
    rollout, example = specimen.rollout, specimen.example
    entropy_T = example.entropy if example else base.entropy_T.tolist()
    return {
        "problem_id": rollout.problem_id,
        "split": specimen.split,
        "arm": specimen.arm,
        "rollout": rollout.rollout,
        "outcome": rollout.outcome,
        "extracted": rollout.extracted,
        "finish_reason": rollout.finish_reason,
        "advantage": example.advantage if example else None,
        "ids": rollout.completion_ids,
        "decision": gate.decisions(entropy_T, specimen.key).tolist(),
        **_opinion("base", base),
        **_opinion("adapted", adapted),
    }


def _opinion(arm: str, scores: PositionScores) -> dict[str, Any]:
    return {
        f"{arm}_entropy": scores.entropy_T.tolist(),
        f"{arm}_logprob": scores.logprob_T.tolist(),
        f"{arm}_rank": scores.rank_T.tolist(),
        f"{arm}_top_ids": scores.top_ids_TK.tolist(),
        f"{arm}_top_logprobs": scores.top_logprob_TK.tolist(),
    }


def vocabulary_table(tokens: pa.Table, tokenizer: Any) -> pa.Table:
    """Bytes of every id that a table of `TOKENS` mentions, by id."""
    columns = [tokens["ids"].combine_chunks().flatten()]
    columns += [tokens[f"{arm}_top_ids"].combine_chunks().flatten().flatten() for arm in ARMS]
    return pieces_table((i for column in columns for i in column.unique().to_pylist()), tokenizer)


def write_inspection(tokens: pa.Table, tokenizer: Any, folder: Path) -> dict[str, int]:
    """Write `tokens.parquet` and `vocabulary.parquet`; the rows of each."""
    vocabulary = vocabulary_table(tokens, tokenizer)
    write_table(tokens, folder / "tokens.parquet")
    write_table(vocabulary, folder / "vocabulary.parquet")
    return {"sequences": len(tokens), "token_types": len(vocabulary)}
