"""The engine that has vLLM sample, in a process of its own.

vLLM's dependencies are pinned more tightly than this package's: it may live in another environment,
whose interpreter starts `vllm_worker.py`. The process ends with the engine, and all its memory is free
then. Entropies and log-probabilities are not recorded: the model that is trained says them itself, when
the rollouts that teach have been chosen (`reasonmaxxer.method.scoring`).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from reasonmaxxer.artifacts import read_json
from reasonmaxxer.child import Child, ChildError
from reasonmaxxer.config import EngineConfig, SamplingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.rollouts.engine import Completion, Engine, FinishReason, OnTokens, Request
from reasonmaxxer.rollouts.stop import StopStrings

WORKER = Path(__file__).with_name("vllm_worker.py")
SILENCE = 3600.0
"""Seconds without a word, while a model is loaded or until the next completion ends."""
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Greatest ranks that vLLM can be made ready for."""


class VllmEngine(Engine):
    """Samples the base, or the base with the adapter that a request names.

    The first request starts vLLM. While it is there, a model on a GPU waits in main memory.

    Args:
        config: of which `vllm` holds interpreter, memory, GPUs.
        loaded: the base, whose weights vLLM reads from where they stand.
        eos_ids: tokens that end a completion.
        batch_size: sequences decoded at once.
    """

    name = "vllm"

    def __init__(self, config: EngineConfig, loaded: LoadedModel, eos_ids: Sequence[int], batch_size: int) -> None:
        self.config, self.loaded = config.vllm, loaded
        self.eos_ids, self.batch_size = list(eos_ids), batch_size
        self.version = ""
        self.settings = {
            "dtype": loaded.identity["dtype"],
            "batch_size": batch_size,
            "tensor_parallel_size": config.vllm.tensor_parallel_size,
            "enforce_eager": config.vllm.enforce_eager,
        }
        self.device = loaded.model.device
        self._child: Child | None = None
        self._ready = (0, 0, False)  # for prompt and completion so long, adapters of this rank, stop strings
        self._saved: tempfile.TemporaryDirectory[str] | None = None

    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> list[Completion]:
        """Complete every request; those of one call answer with one adapter, or all with none.

        Raises:
            UserError: vLLM cannot be started, or ended.
        """
        if not requests:
            return []
        child = self._started(requests, sampling)
        stop = StopStrings(sampling.stop, self.loaded.tokenizer)
        [adapter] = {request.adapter for request in requests}
        child.send(
            {
                "prompts": [list(request.prompt_ids) for request in requests],
                "seeds": [request.seed for request in requests],
                "sampling": {
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "max_tokens": sampling.max_new_tokens,
                    "stop_token_ids": self.eos_ids,
                    "stop": list(sampling.stop),
                },
                "adapter": adapter,
            }
        )
        while "completions" not in (message := self._receive(child)):
            if on_tokens:
                on_tokens(0, message["finished"])
        reasons = {reason for _, reason in message["completions"]}
        if not reasons <= {"stop", "length"}:
            raise RuntimeError(f"vLLM ended completions for reasons unknown here: {reasons}")
        completions = [_cut(ids, reason, stop) for ids, reason in message["completions"]]
        if on_tokens:
            on_tokens(sum(len(completion.ids) for completion in completions), 0)
        return completions

    def generate_shards(
        self, shards: Sequence[Sequence[Request]], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> Iterator[tuple[int, list[Completion]]]:
        """One shard after another, by a vLLM that was started for the longest prompt of all."""
        requests = [request for shard in shards for request in shard]
        if requests:
            self._started(requests, sampling)
        yield from super().generate_shards(shards, sampling, on_tokens)

    def close(self) -> None:
        """End vLLM's process; the model goes back to its device."""
        if self._child:
            self._child.stop()
            self._child = None
            self.loaded.model.to(self.device)
        if self._saved:
            self._saved.cleanup()
            self._saved = None

    def _started(self, requests: Sequence[Request], sampling: SamplingConfig) -> Child:
        """The process, started again where it was not made ready for what is asked now."""
        length = max(len(request.prompt_ids) for request in requests) + sampling.max_new_tokens
        rank = max(map(_rank, {r.adapter for r in requests if r.adapter}), default=0)
        asked = (length, rank, bool(sampling.stop))
        if self._child and all(one <= other for one, other in zip(asked, self._ready, strict=True)):
            return self._child
        self.close()
        self._ready = asked
        self.loaded.model.to("cpu")
        torch.cuda.empty_cache()
        command = [self.config.python or sys.executable, str(WORKER), json.dumps(self._arguments())]
        self._child = Child(command)
        self.version = self._receive(self._child)["version"]
        return self._child

    def _arguments(self) -> dict[str, Any]:
        """Arguments of `vllm.LLM`."""
        config, loaded = self.config, self.loaded
        length, rank, reads_text = self._ready
        model = loaded.path or self._save()
        lora = {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
        return {
            "model": model,
            "revision": None if Path(model).is_dir() else loaded.config.revision,
            "trust_remote_code": loaded.trust_remote_code,
            "dtype": loaded.identity["dtype"],
            "max_model_len": length,
            "max_num_seqs": self.batch_size,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "tensor_parallel_size": config.tensor_parallel_size,
            "enforce_eager": config.enforce_eager,
            "generation_config": "vllm",  # not the model's own temperature and penalties
            "skip_tokenizer_init": not reads_text,  # ids go in and come out
            "seed": 0,
            **(lora if rank else {}),
        }

    def _save(self) -> str:
        """Folder of weights that are nowhere on disk, since an adapter was merged into them."""
        self._saved = tempfile.TemporaryDirectory(prefix="reasonmaxxer-")
        model = self.loaded.model
        base = model.get_base_model() if hasattr(model, "peft_config") else model  # a request names the adapter on it
        own = {name: weight for name, weight in base.state_dict().items() if ".lora_" not in name}
        weights = {name.replace(".base_layer.", "."): weight for name, weight in own.items()}
        base.save_pretrained(self._saved.name, state_dict=weights)
        self.loaded.tokenizer.save_pretrained(self._saved.name)
        return self._saved.name

    def _receive(self, child: Child) -> dict[str, Any]:
        try:
            return child.receive(SILENCE)
        except ChildError as error:
            self.close()
            raise UserError(
                f"vLLM {error}\nIt was run by {self.config.python or sys.executable}; docs/engines.md says "
                "what is known to fail. Or set the name of the engine to transformers."
            ) from error


def check_vllm(config: EngineConfig, key: str) -> None:
    """Refuse an interpreter that has no vLLM, before long work starts.

    Args:
        config: the engine.
        key: of it, named in errors.

    Raises:
        UserError: there is no such interpreter, or it does not find vLLM.
    """
    python = config.vllm.python or sys.executable
    command = [python, "-c", "import importlib.util as u; raise SystemExit(not u.find_spec('vllm'))"]
    try:
        installed = not subprocess.run(command, capture_output=True).returncode
    except OSError as error:
        raise UserError(
            f"{key}.vllm.python = '{python}' cannot be run: {error.strerror}. Name the "
            "interpreter of the environment that vLLM is installed in."
        ) from error
    if not installed:
        raise UserError(
            f"{key}.name = 'vllm', but {python} does not find vLLM. Install it in an "
            f"environment of its own and name its interpreter in {key}.vllm.python "
            "(docs/engines.md), or beside this package: pip install 'reasonmaxxer[vllm]'."
        )


def _cut(ids: list[int], reason: FinishReason, stop: StopStrings) -> Completion:
    """A completion up to where a stop string ends it: vLLM stops soon after, and lists what it sampled."""
    kept = stop.cut(ids)
    return Completion(ids[:kept], None, None, "stop" if kept else reason)


def _rank(adapter: str) -> int:
    """What vLLM must be made ready for to put an adapter on the base."""
    config = read_json(Path(adapter) / "adapter_config.json")
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return next((ready for ready in LORA_RANKS if ready >= rank), rank)
