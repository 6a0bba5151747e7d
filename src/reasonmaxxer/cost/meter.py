"""A meter around each stage, and the line it leaves in the ledger."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class StageCost:
    """What a stage took; attempts at one stage add up.

    Attributes:
        stage: its name.
        tokens: tokens sampled, scored or trained on.
        flops: of the model, by the formulas of `reasonmaxxer.cost.flops`.
        seconds: wall clock.
        cpu_seconds: of this process and its finished children, all cores together.
        peak_memory_bytes: of the GPU where one is used, else resident memory of this process.
        usd: seconds at the machine's price, None where no price is known.
    """

    stage: str
    tokens: int
    flops: float
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    usd: float | None

    def __add__(self, other: StageCost) -> StageCost:
        """Both together, under this one's name."""
        return self._combined(other, 1, max(self.peak_memory_bytes, other.peak_memory_bytes))

    def __sub__(self, part: StageCost) -> StageCost:
        """What remains of this after a part of it, under this one's name; the peak stays."""
        return self._combined(part, -1, self.peak_memory_bytes)

    def _combined(self, other: StageCost, sign: int, peak: int) -> StageCost:
        return StageCost(
            stage=self.stage,
            tokens=self.tokens + sign * other.tokens,
            flops=self.flops + sign * other.flops,
            seconds=self.seconds + sign * other.seconds,
            cpu_seconds=self.cpu_seconds + sign * other.cpu_seconds,
            peak_memory_bytes=peak,
            usd=None if self.usd is None or other.usd is None else self.usd + sign * other.usd,
        )


class Meter:
    """Measures the block it surrounds.

    Args:
        stage: name of the stage.
        device: torch device whose memory is meant.
        usd_per_hour: price of the whole machine, None where unknown.
    """

    def __init__(self, stage: str, device: str, usd_per_hour: float | None) -> None:
        self.stage, self.device, self.usd_per_hour = stage, device, usd_per_hour
        self.tokens, self.flops = 0, 0.0

    def __enter__(self) -> Meter:
        self._peak = _PeakMemory(self.device)
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def add(self, *, tokens: int = 0, flops: float = 0.0) -> None:
        """Count work done."""
        self.tokens += tokens
        self.flops += flops

    def snapshot(self) -> StageCost:
        """Cost from the start of the block to now."""
        seconds = time.perf_counter() - self._wall
        return StageCost(
            stage=self.stage,
            tokens=self.tokens,
            flops=self.flops,
            seconds=seconds,
            cpu_seconds=_cpu_seconds() - self._cpu,
            peak_memory_bytes=self._peak.bytes(),
            usd=None if self.usd_per_hour is None else self.usd_per_hour * seconds / 3600,
        )


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


class _PeakMemory:
    """Peak memory from now on: of the GPU, else of this process."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        elif sys.platform == "linux":
            with suppress(OSError):  # not allowed everywhere: the peak is then the process's own
                Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM

    def bytes(self) -> int:
        if self.device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self.device))
        if sys.platform == "linux":
            status = Path("/proc/self/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024
        if sys.platform == "win32":
            return 0
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
