"""Answers under interventions, graded, and what they show.

arXiv 2605.06241, Section 3: the oracle, random and entropy-gated interventions; beyond it, budgets in both
directions and controls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_table, write_table
from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.divergence.diff import flat, lengths
from reasonmaxxer.divergence.joint import UNSHIFTED
from reasonmaxxer.divergence.lockstep import Intervened, intervene
from reasonmaxxer.divergence.pair import Pair
from reasonmaxxer.divergence.policies import ENTROPY_BINS, Policy, Reference, parse_policy
from reasonmaxxer.divergence.search import SEARCH
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier

DEFAULT = (
    "oracle", "oracle:reranked", "gated:tau=1.2", "random", "second", "matched",
    *(f"oracle:{kind}={k}" for kind in ("first", "entropy", "divergence") for k in (1, 2, 4, 8)),
    *(f"oracle:share={p}" for p in (0.25, 0.5, 0.75)),
    "reverse-oracle",
    *(f"reverse-oracle:first={k}" for k in (1, 2, 4, 8)),
    *(f"reverse-oracle:share={p}" for p in (0.25, 0.5, 0.75)),
    SEARCH,
)  # fmt: skip
"""Where nothing is asked for: the paper's policies, the controls, dose and response, the search."""
EDITS = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("host_id", pa.int32(), nullable=False),
        pa.field("emitted_id", pa.int32(), nullable=False),
        pa.field("base_entropy", pa.float32(), nullable=False),
        pa.field("changed", pa.bool_(), nullable=False),
    ]
)
"""One row a token that the intervention decided; `changed` where it is another than the host's."""
PASSES = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("passes", pa.int32(), nullable=False),
    ]
)
"""Forward passes of both models on each answer, together."""


@dataclass(frozen=True)
class Outputs:
    """What one policy made.

    Attributes:
        policy: the policy.
        rollouts: its answers, one a problem.
        edits: a table of `EDITS`.
        passes: forward passes, by answer.
    """

    policy: Policy
    rollouts: list[Rollout]
    edits: pa.Table
    passes: list[int]


def policies_of(texts: Sequence[str]) -> list[Policy]:
    """Policies as they are asked for, each once.

    Raises:
        UserError: one that is not understood.
    """
    return [parse_policy(text) for text in dict.fromkeys(texts)]


def reference_of(table: pa.Table) -> Reference:
    """What budgets take from the donor's own answers.

    Args:
        table: of `POSITIONS`, of the donor's greedy answers.
    """
    changed_N = flat(table, "kind") != UNSHIFTED
    entropy_N, jsd_N = flat(table, "base_entropy"), flat(table, "jsd")
    ends = np.cumsum(lengths(table))
    starts = ends - lengths(table)

    def falling(values_N: np.ndarray) -> dict[str, list[float]]:
        return {
            problem: sorted(values_N[a:b][changed_N[a:b]].tolist(), reverse=True)
            for problem, a, b in zip(table["problem_id"].to_pylist(), starts, ends, strict=True)
        }

    bins_N = np.searchsorted(ENTROPY_BINS, entropy_N)
    seen, edited = (
        np.bincount(b, minlength=len(ENTROPY_BINS) + 1) for b in (bins_N, bins_N[changed_N])
    )
    return Reference(falling(entropy_N), falling(jsd_N), (edited / np.maximum(seen, 1)).tolist())


def intervene_durably(
    pair: Pair,
    policy: Policy,
    problems: Sequence[Problem],
    config: MicroscopeConfig,
    folder: Path,
    on_done: Callable[[int, int], None] | None = None,
) -> Outputs:
    """Answer all problems under one policy, shard by shard.

    Args:
        pair: the models.
        policy: with the reference that it needs.
        problems: what to answer.
        config: prompt style, length, batch, grading and seed.
        folder: receives shards of rollouts, `edits.parquet` and `passes.parquet`.
        on_done: called with tokens made and answers finished.
    """
    verifier = Verifier(config.verify, config.prompt_style)
    tokenizer = pair.base.tokenizer

    def make(shard: Sequence[Problem]) -> list[Rollout]:
        prompts = [(p.id, render_prompt(config.prompt_style, p.text, tokenizer)) for p in shard]
        made = intervene(
            pair,
            policy,
            prompts,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
            on_done=on_done,
        )
        number = problems.index(shard[0]) // config.batch_size
        write_table(_edits(shard, made), folder / "parts" / f"edits-{number:05d}.parquet")
        write_table(_passes(shard, made), folder / "parts" / f"passes-{number:05d}.parquet")
        return _graded(shard, prompts, made, policy, verifier, tokenizer)

    def on_shard(rollouts: list[Rollout], fresh: bool) -> None:
        if on_done and not fresh:
            on_done(0, len(rollouts))

    with verifier:
        rollouts = collect(problems, folder, config.batch_size, make, on_shard)
    edits, passes = (_joined(folder, name) for name in ("edits", "passes"))
    return Outputs(policy, rollouts, edits, passes["passes"].to_pylist())


def _joined(folder: Path, name: str) -> pa.Table:
    """Parts of a table as one, which is kept."""
    parts = sorted((folder / "parts").glob(f"{name}-*.parquet"))
    table = pa.concat_tables([read_table(path) for path in parts])
    write_table(table, folder / f"{name}.parquet")
    return table


def _edits(problems: Sequence[Problem], made: Sequence[Intervened]) -> pa.Table:
    rows = [
        {
            "problem_id": problem.id,
            "position": edit.position,
            "host_id": edit.host_id,
            "emitted_id": edit.emitted_id,
            "base_entropy": edit.entropy,
            "changed": edit.emitted_id != edit.host_id,
        }
        for problem, one in zip(problems, made, strict=True)
        for edit in one.edits
    ]
    return pa.Table.from_pylist(rows, schema=EDITS)


def _passes(problems: Sequence[Problem], made: Sequence[Intervened]) -> pa.Table:
    rows = [
        {"problem_id": problem.id, "passes": one.passes}
        for problem, one in zip(problems, made, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=PASSES)


def _graded(
    problems: Sequence[Problem],
    prompts: Sequence[tuple[str, list[int]]],
    made: Sequence[Intervened],
    policy: Policy,
    verifier: Verifier,
    tokenizer: Any,
) -> list[Rollout]:
    texts = [tokenizer.decode(one.ids, skip_special_tokens=True) for one in made]
    grades = verifier.grade(list(zip(problems, texts, strict=True)))
    return [
        Rollout(
            problem_id=problem.id,
            rollout=0,
            seed=0,
            prompt_ids=list(prompt),
            completion_ids=one.ids,
            text=text,
            finish_reason="stop" if one.stopped else "length",
            entropy=None,
            logprob=None,
            outcome=grade.outcome.value,
            extracted=grade.extracted,
            engine=policy.spelling,
            engine_version=__version__,
        )
        for problem, (_, prompt), one, text, grade in zip(
            problems, prompts, made, texts, grades, strict=True
        )
    ]
