"""Answers under interventions, graded, and what they show.

arXiv 2605.06241, Section 3: the oracle, random and entropy-gated interventions; beyond it, budgets in both
directions and controls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reasonmaxxer import __version__
from reasonmaxxer.artifacts import read_table, schema, write_table
from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.config.policies import SEARCH
from reasonmaxxer.microscope.diff import flat, lengths
from reasonmaxxer.microscope.joint import UNSHIFTED
from reasonmaxxer.microscope.lockstep import Intervened, Job, intervene
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.microscope.policies import ENTROPY_BINS, Policy, Reference, folder_name, parse_policy
from reasonmaxxer.problems import Problem, render_prompt
from reasonmaxxer.rollouts.collect import read_rollouts
from reasonmaxxer.rollouts.sampler import graded
from reasonmaxxer.rollouts.table import Rollout, rollout_table
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
PER_SHARD = 32
"""Problems whose answers are written at once."""


EDITS = schema(
    {
        "problem_id": pa.string(),
        **dict.fromkeys(("position", "host_id", "emitted_id"), pa.int32()),
        "base_entropy": pa.float32(),
        "changed": pa.bool_(),
    }
)
"""One row a token that the intervention decided; `changed` where it is another than the host's."""
PASSES = schema({"problem_id": pa.string(), "passes": pa.int32()})
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


def read_outputs(policy: Policy, folder: Path) -> Outputs:
    """What a policy's folder holds."""
    edits, passes = (read_table(folder / f"{name}.parquet") for name in ("edits", "passes"))
    return Outputs(policy, read_rollouts(folder), edits, passes["passes"].to_pylist())


def policies_of(texts: Sequence[str]) -> list[Policy]:
    """Policies as they are asked for, each once."""
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
    seen, edited = (np.bincount(b, minlength=len(ENTROPY_BINS) + 1) for b in (bins_N, bins_N[changed_N]))
    return Reference(falling(entropy_N), falling(jsd_N), (edited / np.maximum(seen, 1)).tolist())


def intervene_durably(
    pair: Pair,
    policies: Sequence[Policy],
    problems: Sequence[Problem],
    config: MicroscopeConfig,
    folder: Path,
    on_done: Callable[[int, int], None] | None = None,
) -> None:
    """Answer all problems under several policies side by side, in shards that are written as they are done.

    What an answer is does not depend on what is decoded beside it; how many passes it took may.

    Args:
        pair: the models.
        policies: with the references that they need.
        problems: what to answer.
        config: prompt style, length, batch, grading and seed.
        folder: receives a folder of each policy: shards of rollouts, `edits.parquet` and `passes.parquet`.
        on_done: called with tokens made and answers finished.
    """
    folders = [folder / folder_name(policy.spelling) for policy in policies]
    with Verifier(config.verify, config.prompt_style) as verifier:
        shards = [
            _Shard(policy, number, problems[start : start + PER_SHARD], own)
            for number, start in enumerate(range(0, len(problems), PER_SHARD))
            for policy, own in zip(policies, folders, strict=True)
        ]
        missing = [shard for shard in shards if not shard.path.exists()]
        if on_done:
            on_done(0, len(policies) * len(problems) - sum(len(s.problems) for s in missing))
        _make(missing, pair, config, verifier, on_done)
    for own in folders:
        for name in ("edits", "passes"):
            parts = sorted((own / "parts").glob(f"{name}-*.parquet"))
            write_table(pa.concat_tables([read_table(part) for part in parts]), own / f"{name}.parquet")


@dataclass(frozen=True)
class _Shard:
    """Some problems under one policy: what is written at once."""

    policy: Policy
    number: int
    problems: Sequence[Problem]
    folder: Path
    made: dict[str, Intervened] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / f"shard-{self.number:05d}.parquet"

    def write(self, rollouts: Sequence[Rollout]) -> None:
        """Write edits and passes, then the graded answers, which say that all is there."""
        made = [(problem.id, self.made[problem.id]) for problem in self.problems]
        edits = [{"problem_id": id, **asdict(e), "changed": e.changed} for id, one in made for e in one.edits]
        passes = [{"problem_id": id, "passes": one.passes} for id, one in made]
        for name, rows, columns in (("edits", edits, EDITS), ("passes", passes, PASSES)):
            part = self.folder / "parts" / f"{name}-{self.number:05d}.parquet"
            write_table(pa.Table.from_pylist(rows, schema=columns), part)
        write_table(rollout_table(rollouts), self.path)


def _make(
    shards: Sequence[_Shard],
    pair: Pair,
    config: MicroscopeConfig,
    verifier: Verifier,
    on_done: Callable[[int, int], None] | None,
) -> None:
    """Decode shards together, problem by problem; write each when its last answer is there."""
    tokenizer = pair.base.tokenizer
    owners = [(shard, problem) for shard in shards for problem in shard.problems]
    asked = {problem.id: problem for _, problem in owners}
    prompts = {id: render_prompt(config.prompt_style, problem.text, tokenizer) for id, problem in asked.items()}
    order = {id: number for number, id in enumerate(asked)}
    owners.sort(key=lambda owner: order[owner[1].id])

    def keep(tokens: int, finished: dict[int, Intervened]) -> None:
        for number, one in finished.items():
            shard, problem = owners[number]
            shard.made[problem.id] = one
            if len(shard.made) == len(shard.problems):
                shard.write(graded(_rollouts(shard, prompts, tokenizer), asked, verifier))
        if on_done:
            on_done(tokens, len(finished))

    intervene(
        pair,
        [Job(shard.policy, problem.id, prompts[problem.id]) for shard, problem in owners],
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
        batch_size=config.batch_size,
        on_done=keep,
    )


def _rollouts(shard: _Shard, prompts: Mapping[str, Sequence[int]], tokenizer: Any) -> list[Rollout]:
    answers = [(problem.id, shard.made[problem.id]) for problem in shard.problems]
    return [
        Rollout(
            problem_id=id,
            rollout=0,
            seed=0,
            prompt_ids=list(prompts[id]),
            completion_ids=answer.ids,
            text=tokenizer.decode(answer.ids, skip_special_tokens=True),
            finish_reason="stop" if answer.stopped else "length",
            engine=shard.policy.spelling,
            engine_version=__version__,
        )
        for id, answer in answers
    ]
