"""The shape of a model without its weights: what its products, its cache and its adapter come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reasonmaxxer.config import AdapterConfig, ModelConfig
from reasonmaxxer.cost.flops import ModelFlops
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.models.embedded import EMBEDDED
from reasonmaxxer.models.files import base_name as adapter_base
from reasonmaxxer.models.files import is_adapter
from reasonmaxxer.models.targets import target_names
from reasonmaxxer.models.teachers import teachers

TABLE = Path(__file__).parent / "shapes.yaml"


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and its adapter; bytes are of weights of `itemsize` bytes.

    Attributes:
        flops: its FLOP formulas.
        parameters: weights, tied ones once.
        itemsize: bytes a weight.
        layers: of the decoder.
        hidden: width of a hidden state.
        intermediate: width of an MLP.
        vocabulary: logits a position.
        key_value: bytes of keys and values a token, all layers.
        adapter: weights of the LoRA adapter.
    """

    flops: ModelFlops
    parameters: int
    itemsize: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    key_value: int
    adapter: int

    @property
    def weights(self) -> int:
        """Bytes of the model's weights."""
        return self.parameters * self.itemsize


def shape_of(model: ModelConfig, adapter: AdapterConfig, itemsize: int, trust_remote_code: bool = False) -> Shape:
    """The shape of the model a recipe names; no weights are read and none are allocated.

    Args:
        model: of the recipe.
        adapter: of the recipe.
        itemsize: bytes a weight.
        trust_remote_code: let the model's repository run its own code.

    Raises:
        UserError: the model's configuration can be had neither here nor from the hub.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = _config(model, trust_remote_code)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    heads = text.num_attention_heads
    groups = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    targets = tuple(target_names(empty, adapter.target_modules))
    adapted = [
        module
        for name, module in empty.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(targets)
    ]
    return Shape(
        flops=ModelFlops(empty),
        parameters=sum(p.numel() for p in empty.parameters()),
        itemsize=itemsize,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
        key_value=2 * text.num_hidden_layers * groups * size * itemsize,
        adapter=sum(adapter.rank * (m.in_features + m.out_features) for m in adapted),
    )


def known_models() -> dict[str, dict[str, Any]]:
    """What the table has, by hub id."""
    table: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def assumed_completion(model: ModelConfig, limit: int) -> tuple[float, float, float]:
    """A low, a middling and a high mean length of completions, tokens; an assumption.

    Of a model that the table does not know, six tenths of the limit, but no more than 700, halved and
    doubled.

    Args:
        model: of the recipe.
        limit: longest completion.
    """
    middling = min(0.6 * limit, 700.0)
    table = known_models().get(base_name(model), {})
    low, mean, high = table.get("completion", (middling / 2, middling, 2 * middling))
    return min(low, limit), min(mean, limit), min(high, limit)


def base_name(model: ModelConfig) -> str:
    """Hub id or folder of a model, of an adapter's base, of an embedded model."""
    name = model.name
    adapter = teachers().get(name, Path(name))
    if is_adapter(adapter):
        name = adapter_base(adapter)
    return EMBEDDED[name].hub_id if name in EMBEDDED else name


def _config(model: ModelConfig, trust_remote_code: bool) -> Any:
    """Configuration from a folder, the table, or the hub, in this order."""
    from transformers import AutoConfig

    name, known = base_name(model), known_models()
    if name in known:
        return AutoConfig.for_model(**known[name]["config"])
    try:
        return AutoConfig.from_pretrained(name, revision=model.revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        near = did_you_mean(model.name, [*EMBEDDED, *known])
        raise UserError(
            f"model.name = '{model.name}': its configuration can be had neither from a folder nor from "
            f"the hub.{near} A folder that holds its config.json alone will do. "
            f"({str(error).strip().splitlines()[0]})"
        ) from error
