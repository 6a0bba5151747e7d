"""Sizes of a model from its configuration alone: no weights are read and none are allocated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.config import ModelConfig, Recipe
from reasonmaxxer.cost.flops import ModelFlops
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.names import hub_name
from reasonmaxxer.models.targets import target_names
from reasonmaxxer.models.teachers import near_embedded

TABLE = Path(__file__).parent / "models.yaml"
LARGEST_SHARD = 512
SHARD_FLOPS = 2e13
"""FLOPs of a shard on a CPU, every completion at its limit: about two minutes on two threads."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and its adapter.

    Attributes:
        flops: its FLOP formulas.
        config: the transformers configuration of its decoder.
        parameters: number of weights, tied ones counted once.
        itemsize: bytes a weight.
        key_value: bytes of the keys and values of one token, all layers.
        adapter: number of weights of the LoRA adapter.
    """

    flops: ModelFlops
    config: Any
    parameters: int
    itemsize: int
    key_value: int
    adapter: int

    @property
    def weights(self) -> int:
        """Bytes of the model's weights."""
        return self.parameters * self.itemsize


def shape_of(recipe: Recipe, itemsize: int, trust_remote_code: bool = False) -> Shape:
    """Sizes of the model and adapter that a recipe names.

    Args:
        recipe: what would be run.
        itemsize: bytes a weight.
        trust_remote_code: let the model's repository run its own code.

    Raises:
        UserError: the configuration is neither in a folder, nor known, nor to be had from the hub.
    """
    import torch
    from transformers import AutoModelForCausalLM

    whole = _config(recipe.model, trust_remote_code)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(whole, trust_remote_code=trust_remote_code)
    config, adapter = whole.get_text_config(), recipe.training.adapter
    targets = tuple(target_names(empty, adapter.target_modules))
    adapted = [m for n, m in empty.named_modules() if isinstance(m, torch.nn.Linear) and n.endswith(targets)]
    flops, heads = ModelFlops(empty), config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        flops=flops,
        config=config,
        parameters=sum(p.numel() for p in empty.parameters()),
        itemsize=itemsize,
        key_value=2 * flops.attention * groups // heads * itemsize,
        adapter=sum(adapter.rank * (m.in_features + m.out_features) for m in adapted),
    )


def rollouts_per_shard(recipe: Recipe, parameters: int | None) -> int:
    """Rollouts that are written together: a power of two, so that a killed run loses about two minutes.

    It follows from the recipe alone: a speed measured on the machine would give other shards, and hence other
    bytes, each time.

    Args:
        recipe: what is run.
        parameters: weights of a model on a CPU; None on a GPU, which decodes hundreds at once as fast as a few.
    """
    count = LARGEST_SHARD
    while parameters and count > 1 and 2 * parameters * recipe.rollouts.max_new_tokens * count > SHARD_FLOPS:
        count //= 2
    return count


def known_models() -> dict[str, dict[str, Any]]:
    """The table of models, by hub id: `config` and, of some, the assumed mean tokens of a `completion`."""
    table: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def _config(model: ModelConfig, trust_remote_code: bool) -> Any:
    """Configuration from the table, a folder or the hub, in this order."""
    from transformers import AutoConfig

    name, known = hub_name(model.name), known_models()
    if name in known:
        return AutoConfig.for_model(**known[name]["config"])
    try:
        return AutoConfig.from_pretrained(name, revision=model.revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        near = near_embedded(model.name, *known)
        raise UserError(
            f"model.name = '{model.name}': its configuration is neither in a folder nor to be had from the hub.{near} "
            f"A folder that holds its config.json alone will do. ({str(error).strip().splitlines()[0]})"
        ) from error
