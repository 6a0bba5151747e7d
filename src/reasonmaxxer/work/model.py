"""The one model that a command holds: loaded at first use, then with and without an adapter on it."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from reasonmaxxer.config import AdapterConfig, EngineConfig
from reasonmaxxer.cost import ModelFlops
from reasonmaxxer.method.checkpoints import load_adapter_weights
from reasonmaxxer.method.processes import is_sharded
from reasonmaxxer.method.train import add_adapter
from reasonmaxxer.models import LoadedModel, eos_ids
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.engines import make_engine
from reasonmaxxer.work.sampling import Respondent


class ModelInUse:
    """A model as it stands, and what samples it.

    Args:
        load: loads it.
        engine: what samples it.
        batch_size: sequences decoded at once.
    """

    def __init__(self, load: Callable[[], LoadedModel], engine: EngineConfig, batch_size: int) -> None:
        self._load, self._engine_config, self._batch_size = load, engine, batch_size
        self._engine: Engine | None = None

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model and its tokenizer."""
        return self._load()

    @property
    def model(self) -> Any:
        """The network alone."""
        return self.loaded.model

    @cached_property
    def flops(self) -> ModelFlops:
        """FLOPs of the model, by formula."""
        return ModelFlops(self.model)

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion."""
        return eos_ids(self.model, self.loaded.tokenizer)

    @property
    def engine(self) -> Engine:
        """What samples the model as it stands, until another takes its place or the stage ends."""
        if self._engine is None:
            self._engine = make_engine(self._engine_config, self.loaded, self.eos_ids, self._batch_size)
        return self._engine

    def respondent(self, adapter: Path | None = None) -> Respondent:
        """The model as what is asked; `adapter` is the folder of the adapter on it."""
        return Respondent(self.engine, self.flops, self.loaded.tokenizer, adapter)

    def close(self) -> None:
        """End what samples; its memory is free then."""
        if self._engine:
            self._engine.close()
            self._engine = None

    def replace(self, model: Any) -> None:
        """Replace the model: by the base with an adapter on it, or with it taken off."""
        self.close()
        self.loaded.model = model

    def add_adapter(self, config: AdapterConfig, seed: int) -> None:
        """Put a new adapter on the base."""
        self.replace(add_adapter(self.model, config, seed))

    def load_adapter(self, folder: Path, config: AdapterConfig, seed: int) -> None:
        """Put a trained adapter on the base, unless one is on it."""
        if not hasattr(self.model, "peft_config"):
            model = add_adapter(self.model, config, seed)
            load_adapter_weights(model, folder)
            self.replace(model)

    def remove_adapter(self) -> None:
        """Take the adapter off; a base whose weights are spread over processes is loaded anew."""
        if is_sharded(self.model):
            del self.loaded
        else:
            self.replace(self.model.unload())
