"""Trains a tiny model, in as many processes as are started: `several.py OUT COUNT [KEY=VALUE]...`.

COUNT sequences, KEYs of `ReasonMaxxerConfig`. The first process writes the losses and the adapter.
"""

import json
import sys
from pathlib import Path

import yaml
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from reasonmaxxer.method.processes import is_sharded
from reasonmaxxer.method.trainer import ReasonMaxxerConfig, ReasonMaxxerTrainer
from tests.method.test_trainer import adapted, rows
from tests.tiny import tiny_model


def allow_fsdp_on_cpu():
    """accelerate spreads weights over GPUs alone, although its code for it runs on CPUs too."""
    plain = AcceleratorState.__init__

    def init(self, *args, fsdp_plugin=None, **kwargs):
        plain(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init


if __name__ == "__main__":
    allow_fsdp_on_cpu()
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
    sharded = is_sharded(trainer.model)
    trainer.save_model()
    if trainer.is_world_process_zero():
        history = [row for row in trainer.state.log_history if "loss" in row]
        made = {"history": history, "sharded": sharded}
        (Path(out) / "made.json").write_text(json.dumps(made))
