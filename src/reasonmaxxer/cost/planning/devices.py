"""What a device can do: from a table of data sheets, or measured in a second on the CPU at hand."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from reasonmaxxer.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import torch

TABLE = Path(__file__).parent / "devices.yaml"


@dataclass(frozen=True)
class Kind:
    """How near work comes to a device's limits; `devices.yaml` says what each means."""

    read: float
    train: float
    decode: float
    bandwidth: float
    launch: float
    start: float
    held: float
    kept: float
    estimated: bool


@dataclass(frozen=True)
class Device:
    """Limits of a device.

    Attributes:
        name: in the table, or `cpu`.
        memory: bytes that a program can have.
        products: FLOP/s of a large matrix product.
        bandwidth: bytes/s of its memory.
        price: entry of the price book; None where it has none.
        kind: how near work comes to these limits.
    """

    name: str
    memory: float
    products: float
    bandwidth: float
    price: str | None
    kind: Kind

    @property
    def type(self) -> str:
        """Type of PyTorch's device: `cpu` or `cuda`."""
        return "cpu" if self.name == "cpu" else "cuda"


def devices() -> dict[str, Device]:
    """Every device of the table, by name."""
    table = _table()
    return {
        name: Device(
            name=name,
            memory=entry["memory"] * 2**30,
            products=entry["products"] * 1e12,
            bandwidth=entry["bandwidth"] * 1e9,
            price=entry.get("price"),
            kind=Kind(**table["kinds"]["cuda"]),
        )
        for name, entry in table["devices"].items()
    }


def device_named(name: str) -> Device:
    """A device of the table.

    Raises:
        UserError: it is not there.
    """
    known = devices()
    if name not in known:
        raise UserError(
            f"--device '{name}' is unknown.{did_you_mean(name, known)} Known: {', '.join(known)}; without "
            "--device the CPU of this machine is measured."
        )
    return known[name]


def this_cpu(dtype: torch.dtype, rates: tuple[float, float] | None = None) -> Device:
    """The CPU of this machine, measured unless its rates are given.

    Args:
        dtype: of the model's weights.
        rates: FLOP/s of a large product and bytes/s of a large copy, where they are known.
    """
    products, copied = rates or (matmul_rate(dtype), copy_rate())
    return Device("cpu", _main_memory(), products, copied, "cpu-core", Kind(**_table()["kinds"]["cpu"]))


def matmul_rate(dtype: torch.dtype, size: int = 2048, device: str = "cpu") -> float:
    """FLOP/s of a square product of `size`, the best of many."""
    import torch

    left, right = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / best_seconds(lambda: left @ right)


def copy_rate(size: int = 256 * 2**20, device: str = "cpu") -> float:
    """Bytes/s of copying `size` bytes, read and written bytes both counted, the best of many."""
    import torch

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
    """Until a GPU has done what it was told: CUDA is told and not waited for."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _main_memory() -> float:
    if not hasattr(os, "sysconf"):  # Windows: nothing is said to be too large
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table
