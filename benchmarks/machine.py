"""What this machine can do at best, measured: the yardstick of every benchmark.

    python benchmarks/machine.py [--dtype bfloat16] [--json FILE]

Prints the rate of a large matrix product and the bandwidth of a large copy, each the best of several,
on all the threads PyTorch uses.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from reasonmaxxer.artifacts import write_json
from reasonmaxxer.config import ModelConfig
from reasonmaxxer.environment import describe_environment
from reasonmaxxer.models import resolve_device, resolve_dtype

DEVICE = resolve_device(ModelConfig())
"""What benchmarks run on: CUDA where there is one, else the CPU."""

FAST_PRODUCTS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16")
"""CPU flags that decide how fast a matrix product is."""


@dataclass(frozen=True)
class Machine:
    """A machine's kind and its measured limits.

    Attributes:
        slug: names this kind of machine; baselines of one kind may be compared.
        dtype: type of the matrix product.
        matmul_rate: FLOP/s of a large product.
        copy_rate: bytes/s of a large copy, read and written bytes both counted.
        flags: those of `FAST_PRODUCTS` that the CPU has.
        environment: versions and hardware.
    """

    slug: str
    dtype: str
    matmul_rate: float
    copy_rate: float
    flags: tuple[str, ...]
    environment: dict[str, Any]


def measure_machine(dtype: torch.dtype | None = None, size: int = 2048 if DEVICE == "cpu" else 8192) -> Machine:
    """Measure this machine; a second or two.

    Args:
        dtype: of the product; none takes what a model would be loaded in.
        size: rows and columns of the factors.
    """
    dtype = dtype or resolve_dtype(ModelConfig(), DEVICE)
    info = _cpu_info()
    return Machine(
        slug=slug(info, torch.get_num_threads()) if DEVICE == "cpu" else gpu_slug(),
        dtype=str(dtype).removeprefix("torch."),
        matmul_rate=matmul_rate(dtype, size, DEVICE),
        copy_rate=copy_rate(device=DEVICE),
        flags=tuple(name for name in FAST_PRODUCTS if name in info.get("flags", "").split()),
        environment=describe_environment(DEVICE, 0),
    )


def matmul_rate(dtype: torch.dtype, size: int = 2048, device: str = "cpu") -> float:
    """FLOP/s of a square product of `size`, the best of many."""
    left, right = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / best_seconds(lambda: left @ right)


def copy_rate(size: int = 256 * 2**20, device: str = "cpu") -> float:
    """Bytes/s of copying `size` bytes, read and written bytes both counted, the best of many."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / best_seconds(lambda: target.copy_(source))


def best_seconds(work: Callable[[], Any], times: int = 24) -> float:
    """Shortest of several runs, after one that does not count."""
    work()
    wait_for_device()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        wait_for_device()
        taken.append(time.perf_counter() - start)
    return min(taken)


def wait_for_device() -> None:
    """Wait until a GPU has done what it was told, which CUDA by itself does not."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def gpu_slug() -> str:
    """Name of the kind of GPU."""
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")


def slug(info: dict[str, str], threads: int) -> str:
    """Name of this kind of machine: CPU, its family and model where known, threads."""
    numbers = [info[key] for key in ("cpu family", "model") if key in info]
    words = [info.get("model name", "unknown cpu"), *numbers, f"{threads} threads"]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def _cpu_info() -> dict[str, str]:
    """First processor of /proc/cpuinfo; elsewhere what Python knows."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {"model name": str(describe_environment("cpu", 0)["hardware"]["cpu"])}
    first = path.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("bfloat16", "float32", "float16"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    machine = measure_machine(getattr(torch, arguments.dtype) if arguments.dtype else None)
    print(
        f"{machine.slug} ({' '.join(machine.flags)})\n"
        f"{machine.dtype} matrix product: {machine.matmul_rate / 1e9:,.0f} GFLOP/s\n"
        f"copy: {machine.copy_rate / 1e9:,.1f} GB/s"
    )
    if arguments.json:
        write_json(asdict(machine), arguments.json)


if __name__ == "__main__":
    main()
