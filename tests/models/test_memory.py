"""A process that multiplies ever new shapes does not grow with them."""

import os
import subprocess
import sys

import pytest
import torch

from tests.tiny import tiny_folder

SHAPES = """
import sys
import psutil, torch
from reasonmaxxer.config import ModelConfig
from reasonmaxxer.models import load_model

load_model(ModelConfig(name=sys.argv[1], device="cpu"))
weight = torch.ones(64, 64, dtype=torch.bfloat16)
held = psutil.Process().memory_info
for rows in range(100, 120):
    torch.ones(rows, 64, dtype=torch.bfloat16) @ weight
before = held().rss
for rows in range(120, 720):
    torch.ones(rows, 64, dtype=torch.bfloat16) @ weight
print(held().rss - before)
"""


CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def growth(model, **environment):
    """Bytes that 600 new shapes add to a process that has loaded a model."""
    command = [sys.executable, "-c", SHAPES, str(model)]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for cache in CACHES:
        known.pop(cache, None)
    done = subprocess.run(command, env={**known, **environment}, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="oneDNN multiplies no bfloat16 here",
)
def test_memory_does_not_grow_with_shapes(tmp_path):
    model = tiny_folder(tmp_path / "model")
    own = growth(model)
    theirs = growth(model, **dict.fromkeys(CACHES, "1024"))  # what the user says holds
    assert theirs > 2**27
    assert own < 0.5 * theirs
