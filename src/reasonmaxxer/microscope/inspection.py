"""A few sequences under both models, token by token: what the viewer shows.

Training rollouts come with the advantage and the decision points they taught with; test completions
come in pairs, one of each arm, gained and lost problems first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from reasonmaxxer.artifacts import schema, write_table
from reasonmaxxer.config import InspectionConfig
from reasonmaxxer.method.gate import Gate
from reasonmaxxer.method.selection import Example
from reasonmaxxer.microscope.diff import POSITIONS, compare_texts, mentioned_ids, positions_table
from reasonmaxxer.microscope.pair import AdapterPair
from reasonmaxxer.microscope.vocabulary import pieces_table
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.table import Rollout

SAMPLED_BY = ("base", "adapted")
_TAUGHT = {"split": pa.string(), "arm": pa.string(), "advantage": pa.float64(), "decision": pa.list_(pa.bool_())}
TOKENS = pa.schema([*schema(_TAUGHT, nullable=("advantage",)), *POSITIONS])
"""One row a completion: how it was sampled and what it taught, and both models' scores as `diff` has them; the
adapted model is the tuned one."""


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
    base, adapted = (read_rollouts(run / "evaluation" / f"{arm}-greedy") for arm in SAMPLED_BY)
    train = choose_train(read_rollouts(run / "rollouts"), examples, config.train_problems)
    return train + choose_test(base, adapted, config.test_problems)


def choose_train(rollouts: Sequence[Rollout], examples: Sequence[Example], count: int) -> list[Specimen]:
    """All rollouts of the first `count` problems that taught, nearest the edge of competence first."""
    taught = {example.key: example for example in examples}
    problems = list(dict.fromkeys(example.problem_id for example in examples))[:count]
    specimens = [Specimen(r, "train", "base", taught.get(f"{r.problem_id}#{r.rollout}")) for r in rollouts]
    return [specimen for problem in problems for specimen in specimens if specimen.rollout.problem_id == problem]


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
    rest = [pair for pair in pairs if pair[1].reward == pair[0].reward]
    in_turn = [pair for two in zip_longest(gained, lost) for pair in two if pair]
    return [
        Specimen(rollout, "test", arm)
        for pair in [*in_turn, *rest][:count]
        for arm, rollout in zip(SAMPLED_BY, pair, strict=True)
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
    rollouts = [specimen.rollout for specimen in specimens]
    table = positions_table(rollouts, compare_texts(AdapterPair(model), rollouts, on_scored))
    rows = zip(specimens, table["base_entropy"].to_pylist(), strict=True)
    taught = [
        [specimen.split for specimen in specimens],
        [specimen.arm for specimen in specimens],
        [specimen.example and specimen.example.advantage for specimen in specimens],
        [_decisions(specimen, entropy_T, gate) for specimen, entropy_T in rows],
    ]
    return pa.table([*taught, *table.columns], schema=TOKENS)


def _decisions(specimen: Specimen, entropy_T: Sequence[float], gate: Gate) -> list[bool]:
    """Decision points of a completion: those that training used, elsewhere by the base's entropy now."""
    known_T = specimen.example.entropy if specimen.example else entropy_T
    decisions: list[bool] = gate.decisions(known_T, specimen.key).tolist()
    return decisions


def write_inspection(tokens: pa.Table, tokenizer: Any, folder: Path) -> dict[str, int]:
    """Write `tokens.parquet` and `vocabulary.parquet`; the rows of each."""
    vocabulary = pieces_table(mentioned_ids(tokens), tokenizer)
    write_table(tokens, folder / "tokens.parquet")
    write_table(vocabulary, folder / "vocabulary.parquet")
    return {"sequences": len(tokens), "token_types": len(vocabulary)}
