"""What a run stood on: versions and hardware, for whoever wants to reproduce it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reasonmaxxer import __version__
from reasonmaxxer.sandbox import backend

PACKAGES = ("torch", "transformers", "peft", "accelerate", "math-verify", "numpy", "pyarrow")


def describe_environment(device: str, seed: int) -> dict[str, Any]:
    """JSON values: `versions`, `hardware`, `sandbox` (what runs models' programs, or why nothing can), `seed`.

    Args:
        device: torch device of the run.
        seed: of the run.
    """
    import torch

    hardware: dict[str, Any] = {
        "device": device,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }
    if device.startswith("cuda"):
        hardware["gpu"] = torch.cuda.get_device_name(device)
    versions = {name: version(name) for name in PACKAGES}
    own = {"reasonmaxxer": __version__, "python": platform.python_version()}
    return {"versions": own | versions, "hardware": hardware, "sandbox": backend().version, "seed": seed}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
