"""The same greedy rollout table from every engine: how many completions agree, and why the others do not.

    python benchmarks/engines.py [--engines transformers ray vllm] [--vllm PYTHON] [--json FILE]

Each engine answers the same word problems with the same weights. The first difference of two completions
is looked at by the package's own scorer, in float32: by how many nats one token is there ahead of the
other. A gap of about nothing is a tie that rounding decides; a wide one would be a fault.

`--entropies` measures, with vLLM's interpreter, what it takes to record every token's entropy while vLLM
samples, beside scoring the completions afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import load_base
from rich.console import Console
from rich.table import Table

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import EngineConfig, RayConfig, SamplingConfig, VerifyConfig, VllmConfig
from reasonmaxxer.method.scoring import score_rollouts
from reasonmaxxer.models import LoadedModel, eos_ids
from reasonmaxxer.problems import Problem
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.collect import collect
from reasonmaxxer.rollouts.engines import make_engine
from reasonmaxxer.rollouts.sampler import Sampler
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.verify import Verifier

STYLE = "chat_template"
PER_SHARD = 5


def config_of(name: str, arguments: argparse.Namespace) -> EngineConfig:
    """Config of an engine, by the name that the table shows."""
    if name == "ray":
        return EngineConfig(ray=RayConfig(workers=2))
    vllm = VllmConfig(python=arguments.vllm, enforce_eager=True)
    return EngineConfig(name="vllm" if name == "vllm" else "transformers", vllm=vllm)


def answers(
    name: str, loaded: LoadedModel, problems: Sequence[Problem], arguments: argparse.Namespace
) -> tuple[list[Rollout], float]:
    """Greedy rollouts as a table's rows, and the seconds they took, the engine's start included."""
    sampling = SamplingConfig(temperature=0, top_p=1, max_new_tokens=arguments.tokens)
    folder = arguments.out / f"{name}-{loaded.identity['dtype']}"
    ends = eos_ids(loaded.model, loaded.tokenizer)
    start = time.perf_counter()
    engine = make_engine(config_of(name, arguments), loaded, ends, arguments.batch_size)
    with closing(engine), Verifier(VerifyConfig(), STYLE) as verifier:
        sampler = Sampler(
            engine, verifier, loaded.tokenizer, prompt_style=STYLE, sampling=sampling, per_problem=1, seed=0
        )
        rollouts = collect(problems, folder, PER_SHARD, sampler)
    return rollouts, time.perf_counter() - start


def difference(ours: Rollout, theirs: Rollout, judge: Any) -> dict[str, Any] | None:
    """Where two completions of one prompt part, and how close the choice is there; None if nowhere."""
    a, b = ours.completion_ids, theirs.completion_ids
    if a == b:
        return None
    where = next((t for t, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if where is None:
        return {"problem": ours.problem_id, "position": min(len(a), len(b)), "gap": None}
    bare = [replace(rollout, entropy=None, logprob=None) for rollout in (ours, theirs)]
    first, second = (scored.logprob[where] for scored in score_rollouts(bare, judge))  # type: ignore[index]
    return {"problem": ours.problem_id, "position": where, "gap": first - second}


def compare(reference: Sequence[Rollout], others: Sequence[Rollout], judge: Any) -> list[dict[str, Any]]:
    """All differences of one table from the reference."""
    found = (difference(a, b, judge) for a, b in zip(reference, others, strict=True))
    return [one for one in found if one]


def entropies(loaded: LoadedModel, rollouts: Sequence[Rollout], python: str, tokens: int) -> Any:
    """CPU seconds of both ways to know entropies, and how far they are apart."""
    order = {
        "model": loaded.path,
        "dtype": loaded.identity["dtype"],
        "prompts": [rollout.prompt_ids for rollout in rollouts],
        "max_tokens": tokens,
        "stop_token_ids": list(eos_ids(loaded.model, loaded.tokenizer)),
    }
    script = str(Path(__file__).parent / "vllm_entropies.py")
    command = [python, script]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout)
    made = [
        replace(rollout, completion_ids=ids, entropy=None, logprob=None)
        for rollout, ids in zip(rollouts, found.pop("ids"), strict=True)
    ]
    found["scoring_pass"] = []
    for _ in found["sampling"]:
        start = time.process_time()
        scored = score_rollouts(made, loaded.model)
        found["scoring_pass"].append(time.process_time() - start)
    ours = np.concatenate([rollout.entropy for rollout in scored])
    theirs = np.concatenate(found.pop("entropies"))
    found["tokens"] = len(ours)
    found["largest_difference_nats"] = float(np.abs(ours - theirs).max())
    return found


def table_of(results: Sequence[dict[str, Any]]) -> Table:
    """One line an engine and type."""
    table = Table(title="Greedy completions against the transformers engine in this process")
    for column in ("dtype", "engine", "version", "equal", "differs at", "gap, nats", "seconds"):
        table.add_column(column, justify="left" if column in ("dtype", "engine") else "right")
    for row in results:
        parted = row["differences"]
        table.add_row(
            row["dtype"],
            row["engine"],
            row["version"],
            f"{row['equal']}/{row['completions']}",
            ", ".join(str(d["position"]) for d in parted) or "-",
            ", ".join("-" if d["gap"] is None else f"{d['gap']:+.3f}" for d in parted) or "-",
            f"{row['seconds']:.0f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2", help="folder, hub id or embedded model")
    parser.add_argument("--engines", nargs="+", default=["transformers", "ray", "vllm"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--vllm", metavar="PYTHON", default=os.environ.get("REASONMAXXER_VLLM_PYTHON"))
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=80, help="longest completion")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--entropies", action="store_true", help="measure both ways to know them")
    parser.add_argument("--out", type=Path, default=Path("runs/engines"), help="of the tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as Ray's workers, so that sums are formed alike
    problems = word_problems("test", arguments.problems, 0)
    judge = load_base(arguments.model, "float32").model
    results, ways = [], {}
    for dtype in arguments.dtypes:
        loaded = load_base(arguments.model, dtype)
        tables = {name: answers(name, loaded, problems, arguments) for name in arguments.engines}
        reference, _ = tables["transformers"]
        for name, (rollouts, seconds) in tables.items():
            parted = compare(reference, rollouts, judge)
            results.append(
                {
                    "dtype": dtype,
                    "engine": name,
                    "version": rollouts[0].engine_version,
                    "settings": json.loads(rollouts[0].engine_settings),
                    "completions": len(rollouts),
                    "equal": len(rollouts) - len(parted),
                    "differences": parted,
                    "seconds": seconds,
                }
            )
        if arguments.entropies:
            ways[dtype] = entropies(loaded, reference, arguments.vllm, arguments.tokens)
    Console().print(table_of(results))
    for dtype, way in ways.items():
        Console().print(dtype, way)
    if arguments.json:
        write_json({"results": results, "entropies": ways}, arguments.json)


if __name__ == "__main__":
    main()
