"""Which engine samples, by the recipe."""

from __future__ import annotations

from collections.abc import Sequence

from reasonmaxxer.config import EngineConfig
from reasonmaxxer.models import LoadedModel
from reasonmaxxer.rollouts.engine import Engine
from reasonmaxxer.rollouts.ray_engine import RayEngine, check_ray
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from reasonmaxxer.rollouts.vllm_engine import VllmEngine, check_vllm


def make_engine(config: EngineConfig, loaded: LoadedModel, eos_ids: Sequence[int], batch_size: int = 64) -> Engine:
    """The engine that a recipe asks for; `contextlib.closing` ends it.

    Args:
        config: which, and where.
        loaded: the model. The transformers engine samples it as it stands; the others sample its base, and
            put on it the adapter that a request names.
        eos_ids: tokens that end a completion.
        batch_size: sequences decoded at once.
    """
    if config.ray.workers:
        return RayEngine(config, loaded, eos_ids, batch_size)
    if config.name == "vllm":
        return VllmEngine(config.vllm, loaded, eos_ids, batch_size)
    return TransformersEngine(loaded.model, eos_ids, batch_size, loaded.tokenizer, config.cuda_graphs)


def check_engine(config: EngineConfig) -> None:
    """Refuse an engine that is not installed, before long work starts.

    Raises:
        UserError: it says what to install.
    """
    if config.ray.workers:
        check_ray()
    if config.name == "vllm" and not config.ray.address:
        check_vllm(config.vllm)
