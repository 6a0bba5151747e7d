"""The benchmarks as a person runs them, on a tiny model: processes, tables, files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import tiny_folder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KEYS = {
    "divergence": {"ratio", "matmul_share", "positions_per_second"},
    "rollouts": {"ratio", "peak_memory_ratio", "matmul_share", "floor_products"},
    "training": {"ratio", "peak_memory_ratio", "matmul_share", "max_loss_difference"},
    "scaling": {"time_growth_4x", "peak_memory_growth_4x"},
}


@pytest.mark.parametrize("name", sorted(KEYS))
def test_quick_run_writes_its_figures(name, tmp_path):
    written = tmp_path / "figures.json"
    model = tiny_folder(tmp_path / "model")
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick", f"--model={model}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [*command, f"--json={written}"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(written.read_text(encoding="utf-8"))
    assert set(figures) >= KEYS[name]
    assert all(figures[key] >= 0 for key in KEYS[name])
    assert figures["machine"]["matmul_rate"] > 1e8
    assert "change" in done.stdout
    arms = figures["details"]
    if name == "training":
        assert figures["max_loss_difference"] < 1e-4
        assert len(arms["ours"]["repetitions"][0]["losses"]) == 2
    if name == "rollouts":
        made = [len(arms[arm]["repetitions"][0]["lengths"]) for arm in ("ours", "generate")]
        assert made == [64, 64]
