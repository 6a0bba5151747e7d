"""Which engine samples, by the recipe: a new one is a module, a row of `ENGINES` and a name in `EngineConfig`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from reasonmaxxer.config import Config, EngineConfig
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.ray_engine import RayEngine, check_ray
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.rollouts.vllm_engine import VllmEngine, check_vllm


class EngineKind(NamedTuple):
    """How an engine is made.

    Attributes:
        make: of the config, the model, the tokens that end a completion, and the sequences decoded at once.
        check: refuses what is not installed, before long work starts; told the config's key too.
        in_memory: whether it samples the model as it stands; the others sample its base, and put on it the
            adapter that a request names.
    """

    make: Callable[[EngineConfig, LoadedModel, Sequence[int], int], Engine]
    check: Callable[[EngineConfig, str], None] = lambda config, key: None
    in_memory: bool = False


def _transformers(config: EngineConfig, loaded: LoadedModel, eos_ids: Sequence[int], batch_size: int) -> Engine:
    return TransformersEngine(loaded.model, eos_ids, batch_size, loaded.tokenizer, config.cuda_graphs)


ENGINES = {"transformers": EngineKind(_transformers, in_memory=True), "vllm": EngineKind(VllmEngine, check_vllm)}


def make_engine(config: EngineConfig, loaded: LoadedModel, eos_ids: Sequence[int], batch_size: int = 64) -> Engine:
    """The engine that a recipe asks for; `contextlib.closing` ends it.

    Args:
        config: which, and where.
        loaded: the model.
        eos_ids: tokens that end a completion.
        batch_size: sequences decoded at once.
    """
    kind = ENGINES[config.name]
    if config.ray.workers:
        return RayEngine(kind.make, kind.in_memory, config, loaded, eos_ids, batch_size)
    return kind.make(config, loaded, eos_ids, batch_size)


def check_engine(config: Config) -> None:
    """Refuse an engine of a command that is not installed, before long work starts.

    Raises:
        UserError: it says what to install.
    """
    for key, engine in config.sections(EngineConfig):
        if engine.ray.workers:
            check_ray(key)
        if not engine.ray.address:
            ENGINES[engine.name].check(engine, key)
