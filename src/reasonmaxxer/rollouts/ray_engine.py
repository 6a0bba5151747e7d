"""The engine that has Ray Data spread shards over the processes of a cluster.

Every worker loads the model once and decodes whole shards with an engine of its own, so a shard comes out
as it would here. Ray starts a worker that died again, and gives its shards to others meanwhile.
"""

import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peft import PeftModel

from reasonmaxxer.config import EngineConfig, ModelConfig, SamplingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models import LoadedModel, load_model
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request


class RayEngine(Engine):
    """Samples the base, or the base with the adapter that a request names, on the workers.

    Folders of models and adapters must be where all machines find them.

    Args:
        make: makes the engine of a worker.
        in_memory: whether that samples the worker's model as it stands.
        config: of the worker's engine, and the cluster.
        loaded: the base; the workers load it again, by name.
        eos_ids: tokens that end a completion.
        batch_size: sequences that a worker decodes at once.
    """

    def __init__(
        self,
        make: Callable[..., Engine],
        in_memory: bool,
        config: EngineConfig,
        loaded: LoadedModel,
        eos_ids: Sequence[int],
        batch_size: int,
    ) -> None:
        self.name, self.version, self.settings = config.name, "", {}
        self.config = config.ray
        model = _elsewhere(loaded)
        self._worker = (make, in_memory, config, model, loaded.trust_remote_code, tuple(eos_ids), batch_size)
        self._started = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> list[Completion]:
        """Complete every request, on one worker."""
        if not requests:
            return []
        [(_, completions)] = self.generate_shards([requests], sampling, on_tokens)
        return completions

    def generate_shards(
        self, shards: Sequence[Sequence[Request]], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> Iterator[tuple[int, list[Completion]]]:
        """Complete every shard; they come as workers finish them."""
        if not shards:
            return
        ray = self._connected()
        rows = [{"shard": number, "requests": pickle.dumps(list(requests))} for number, requests in enumerate(shards)]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            fn_constructor_args=self._worker,
            fn_kwargs={"sampling": sampling},
            compute=ray.data.ActorPoolStrategy(size=min(self.config.workers, len(rows))),
            num_cpus=self.config.cpus,
            num_gpus=self.config.gpus,
        )
        for row in results.iter_rows():
            self.version = row["version"]
            self.settings = {**pickle.loads(row["settings"]), "ray": ray.__version__}
            completions: list[Completion] = pickle.loads(row["completions"])
            if on_tokens:
                on_tokens(sum(len(c.ids) for c in completions), len(completions))
            yield row["shard"], completions

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._started:
            import ray

            ray.shutdown()
            self._started = False
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    def _connected(self) -> Any:
        import ray
        import ray.data

        if not ray.is_initialized():
            quiet = {"logging_level": logging.WARNING, "log_to_driver": False}
            if self.config.address:
                ray.init(self.config.address, **quiet)
            else:
                self._start_here(quiet)
            self._started = True
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        ray.data.DataContext.get_current().enable_progress_bars = False
        return ray

    def _start_here(self, options: dict[str, Any]) -> None:
        """Start a cluster that this machine alone can reach, and whose files this user alone can read."""
        import ray
        from ray._private import ray_constants

        # Ray makes its folder open to all, wherever it is; under /tmp the names of its sockets fit.
        base = "/tmp" if os.name == "posix" else None
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir=base, ignore_cleanup_errors=True)
        several, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
        try:  # of one machine, as it is on Windows: every server listens on loopback
            ray.init(
                "local",
                num_cpus=self.config.workers * self.config.cpus,
                include_dashboard=False,
                _temp_dir=str(Path(self._folder.name) / "r"),
                **options,
            )
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = several


class _Worker:
    """In a process of the cluster: a model and its engine, which decodes one shard after another."""

    def __init__(
        self,
        make: Callable[..., Engine],
        in_memory: bool,
        config: EngineConfig,
        model: ModelConfig,
        trust_remote_code: bool,
        *rest: Any,
    ) -> None:
        self.loaded, self.in_memory = load_model(model, trust_remote_code), in_memory
        self.make_engine = partial(make, config, self.loaded, *rest)
        self.engine: Engine = self.make_engine()
        self.adapter: str | None = None

    def __call__(self, row: dict[str, Any], sampling: SamplingConfig) -> dict[str, Any]:
        requests: list[Request] = pickle.loads(row["requests"])
        [adapter] = {request.adapter for request in requests}
        if self.in_memory and adapter != self.adapter:
            self._carry(adapter)
        completions = self.engine.generate(requests, sampling)
        return {
            "shard": row["shard"],
            "completions": pickle.dumps(completions),
            "version": self.engine.version,
            "settings": pickle.dumps(self.engine.settings),
        }

    def _carry(self, adapter: str | None) -> None:
        """Put an adapter on the model in memory, or take it off."""
        model = self.loaded.model.unload() if self.adapter else self.loaded.model
        self.loaded.model = PeftModel.from_pretrained(model, adapter) if adapter else model
        self.adapter, self.engine = adapter, self.make_engine()


def check_ray(key: str) -> None:
    """Refuse to go to a cluster without Ray, before long work starts.

    Args:
        key: of the engine, named in errors.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("ray") is None:
        raise UserError(
            f"{key}.ray.workers needs Ray, which is not installed: "
            "pip install 'reasonmaxxer[ray]', on every machine of the cluster."
        )


def _elsewhere(loaded: LoadedModel) -> ModelConfig:
    """The same weights in the same type, on whatever device a worker has."""
    config, folder = loaded.config, Path(loaded.config.name)
    values = {
        "name": str(folder.resolve()) if folder.is_dir() else config.name,
        "dtype": loaded.identity["dtype"],
        "device": "cpu" if config.device == "cpu" else "auto",
    }
    return config.model_copy(update=values)
