"""Trains a tiny model, in as many processes as `accelerate launch` starts: `several.py OUT COUNT [KEY=VALUE]...`.

COUNT sequences, KEYs of `ReasonMaxxerConfig`. The first process writes the losses and the adapter.
"""

import json
import sys
from pathlib import Path

import yaml

from reasonmaxxer.training.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from tests.tiny import tiny_model
from tests.training.test_trainer import adapted, rows

if __name__ == "__main__":
    out, count, *settings = sys.argv[1:]
    keys = {key: yaml.safe_load(value) for key, value in (s.split("=") for s in settings)}
    trainer = ReasonMaxxerTrainer(
        model=adapted(tiny_model()),
        args=ReasonMaxxerConfig(
            output_dir=out,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            warmup_steps=0,
            learning_rate=1e-2,
            **keys,
        ),
        train_dataset=rows(int(count)),
    )
    trainer.train()
    trainer.save_model()
    if trainer.is_world_process_zero():
        history = [row for row in trainer.state.log_history if "loss" in row]
        (Path(out) / "history.json").write_text(json.dumps(history))
