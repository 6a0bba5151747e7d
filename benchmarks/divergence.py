"""What the statistics of `reasonmaxxer diff` add to the two forward passes that they need.

    python benchmarks/divergence.py [--quick] [--json FILE] [--save-baseline] [--dtype bfloat16]

Both arms read the same answers by the same two models, batched alike: one makes the logits of every
completion position and throws them away, the other makes every figure of them. They take turns in one
process. The model is compared with itself, which costs what any pair of its size costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from figures import argument_parser, finish
from machine import measure_machine, wait_for_device

from reasonmaxxer.config import ModelConfig, SamplingConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.microscope.diff import compare_texts
from reasonmaxxer.microscope.pair import ARMS, Pair
from reasonmaxxer.models import LoadedModel, eos_ids, load_model
from reasonmaxxer.models.sizes import sizes
from reasonmaxxer.models.states import Tokens, state_batches, token_count
from reasonmaxxer.problems import render_prompt
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.table import Rollout
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine


def answers(loaded: LoadedModel, problems: int, length: int) -> list[Rollout]:
    """Greedy answers of the model, as rollouts that nobody graded."""
    asked = word_problems("test", problems, 0)
    prompts = [tuple(render_prompt("chat_template", p.text, loaded.tokenizer)) for p in asked]
    engine = TransformersEngine(loaded.model, eos_ids(loaded.model, loaded.tokenizer))
    sampling = SamplingConfig(temperature=0, top_p=1, max_new_tokens=length)
    made = engine.generate([Request(prompt, 0) for prompt in prompts], sampling)
    return [
        Rollout(
            problem_id=problem.id,
            rollout=0,
            seed=0,
            prompt_ids=list(prompt),
            completion_ids=one.ids,
            text="",
            finish_reason=one.finish_reason,
            entropy=None,
            logprob=None,
            outcome="unparsed",
            extracted=None,
            engine="",
            engine_version="",
        )
        for problem, prompt, one in zip(asked, prompts, made, strict=True)
    ]


@torch.inference_mode()
def bare(pair: Pair, sequences: Sequence[Tokens]) -> None:
    """Two forward passes with the logits of all completion positions, some at a time."""
    for arm in ARMS:
        head = pair.head(arm)
        weight = head.projection.weight
        rows = max(1, sizes("cpu").logit_bytes // (weight.element_size() * len(weight)))
        with pair.using(arm) as model:
            for _, states_ND in state_batches(sequences, model):
                for part_ND in torch.split(states_ND, rows):
                    head(part_ND)


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--problems", type=int, help="answers read; default 24, with --quick 8")
    parser.add_argument("--repeats", type=int, help="turns; default 5, with --quick 3")
    arguments = parser.parse_args()
    quick = arguments.quick
    loaded = load_model(ModelConfig(name=arguments.model, dtype=arguments.dtype))
    pair = Pair(loaded, loaded)
    problems = arguments.problems or (8 if quick else 24)
    rollouts = answers(loaded, problems, 24 if quick else 120)
    machine = measure_machine(loaded.model.dtype)
    work: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(pair, rollouts),
        "ours": lambda: compare_texts(pair, rollouts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    with pair.at_work():  # as the commands do
        for turn in range(1 + (arguments.repeats or (3 if quick else 5))):
            for name, do in work.items():
                start = time.perf_counter()
                do()
                wait_for_device()
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - start)
    ours, peer = (sorted(seconds[name])[len(seconds[name]) // 2] for name in ("ours", "bare"))
    flops = ModelFlops(loaded.model)
    tokens = sum(map(token_count, rollouts))
    positions = sum(len(s.completion_ids) for s in rollouts)
    needed = 2 * (flops.hidden(tokens) + flops.logits(positions))
    figures = {
        "ratio": ours / peer,
        "added_share": ours / peer - 1,
        "seconds": ours,
        "positions_per_second": positions / ours,
        "matmul_share": needed / machine.matmul_rate / ours,
    }
    settings = {"model": loaded.name, "problems": problems, "dtype": arguments.dtype}
    finish("divergence", arguments, machine, figures, settings, {"seconds": seconds})


if __name__ == "__main__":
    main()
