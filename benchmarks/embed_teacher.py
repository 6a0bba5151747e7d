"""Put the adapter of a finished run into the package as a teacher.

    python benchmarks/embed_teacher.py runs/grpo smollm2-teacher

Writes `src/reasonmaxxer/models/teachers/NAME/`: the adapter in bfloat16, its recipe, and `teacher.json`
with accuracy, curve and cost.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from reasonmaxxer.artifacts import read_json, read_table, write_json
from reasonmaxxer.models.teachers import FOLDER


def record_of(run: Path) -> dict[str, Any]:
    """What `teacher.json` holds of a run."""
    summary = read_json(run / "summary.json")
    training = read_json(run / "training" / "stage.json")
    rewards = {row["step"]: row["reward"] for row in read_table(run / "training" / "history.parquet").to_pylist()}
    correct: dict[int, list[bool]] = defaultdict(list)
    for row in read_table(run / "training" / "validation.parquet").to_pylist():
        correct[row["step"]].append(row["correct"])
    greedy = {arm: summary[arm]["greedy"]["pass@1"] for arm in ("base", "adapted")}
    return {
        "base": summary["model"]["name"],
        "base_source": summary["model"]["source"],
        "method": summary["training"]["method"],
        "seed": training["seed"],
        "steps": summary["training"]["steps"],
        "test_problems": greedy["base"]["n"],
        "base_accuracy": greedy["base"]["value"],
        "accuracy": greedy["adapted"]["value"],
        "difference": {k: summary["difference"]["greedy"][k] for k in ("value", "low", "high")},
        "validation_problems": summary["training"]["validation_problems"],
        "curve": [
            {
                "step": c["step"],
                "validation_accuracy": float(np.mean(correct[c["step"]])),
                **{name: c[name] for name in ("tokens", "flops", "seconds", "usd")},
            }
            for c in summary["training"]["checkpoints"]
        ],
        "reward": [rewards[step] for step in sorted(rewards)],
        "environment": summary["environment"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    arguments = parser.parse_args()
    target = FOLDER / arguments.name
    target.mkdir(parents=True, exist_ok=True)
    adapter = arguments.run / "training" / "adapter"
    weights = load_file(adapter / "adapter_model.safetensors")
    rounded = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    save_file(rounded, target / "adapter_model.safetensors", metadata={"format": "pt"})
    (target / "adapter_model.safetensors").chmod(0o644)  # what safetensors writes is its owner's alone
    shutil.copyfile(adapter / "adapter_config.json", target / "adapter_config.json")
    shutil.copyfile(arguments.run / "recipe.yaml", target / "recipe.yaml")
    write_json(record_of(arguments.run), target / "teacher.json")
    print(target)


if __name__ == "__main__":
    main()
