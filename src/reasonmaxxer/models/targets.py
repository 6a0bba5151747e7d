"""Which modules of a model an adapter is put on."""

import warnings
from collections.abc import Sequence
from typing import Any

from reasonmaxxer.config import AdapterConfig
from reasonmaxxer.errors import UserError

DEFAULT: tuple[str, ...] = AdapterConfig().target_modules
FUSED = ("qkv_proj", "query_key_value", "c_attn", "Wqkv")
"""What families call the projection that makes queries, keys and values at once."""


def target_names(model: Any, asked: Sequence[str]) -> list[str]:
    """Names of the modules to adapt, each of which the model has.

    Where the default's are not all there, they are PEFT's for the family, or else those that are there and
    the fused projections; a warning says so.

    Args:
        model: a transformers model, its weights in memory or not.
        asked: what the recipe says.

    Raises:
        UserError: a name that matches nothing.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_FAMILY

    there = {name.rpartition(".")[2] for name, m in model.named_modules() if hasattr(m, "weight")}
    paths = [f".{name}" for name, _ in model.named_modules()]
    missing = [name for name in asked if not any(path.endswith(f".{name}") for path in paths)]
    if not missing:
        return list(asked)
    known = BY_FAMILY.get(model.config.model_type)
    own = known if isinstance(known, list) else [n for n in (*DEFAULT, *FUSED) if n in there]
    if tuple(asked) == DEFAULT and own:
        warnings.warn(
            f"{type(model).__name__} has no {', '.join(missing)}: the adapter is put on {', '.join(own)}. "
            "training.adapter.target_modules takes others.",
            stacklevel=2,
        )
        return list(own)
    raise UserError(
        f"training.adapter.target_modules = {list(asked)}: {type(model).__name__} has no "
        f"{', '.join(missing)}. Its modules: {', '.join(sorted(there))}."
    )
