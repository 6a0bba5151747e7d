"""Models by name: a base, or a PEFT adapter beside its base or merged into it."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.base import LoadedModel, in_a_sentence, load_base, set_padding
from reasonmaxxer.models.files import (
    ADAPTER_CONFIG,
    files_of,
    fingerprint,
    is_adapter,
    read_settings,
    refuse_other_weights,
)
from reasonmaxxer.models.names import resolve
from reasonmaxxer.trial import check_patterns

PATTERNS = (
    *("target_modules", "exclude_modules", "modules_to_save"),
    *("layers_pattern", "rank_pattern", "alpha_pattern"),
)
"""Keys of an adapter's config whose strings PEFT takes for regular expressions."""
SIZES = ("r", "init_r", "num_vectors", "n_frequency")
"""Keys that say how large an adapter is."""


def load_model(config: ModelConfig, trust_remote_code: bool = False) -> LoadedModel:
    """Load a causal LM and its tokenizer by name of an embedded model or teacher, local folder or hub id.

    A local PEFT folder is a model too: its base with the adapter merged into it.

    Raises:
        UserError: no such model, no safetensors weights, weights of another model, or one that cannot be
            read as it must be.
    """
    adapter = resolve(config.name).adapter
    if adapter is None:
        return load_base(config, trust_remote_code)
    if config.quantization != "none":
        raise UserError(
            f"The model '{config.name}' is an adapter, which cannot be merged into weights of four bits without loss: "
            "set quantization to none, or name a base."
        )
    merged = merge_adapter(load_adapter(config, adapter, trust_remote_code))
    return replace(merged, name=config.name, config=config)


def load_adapter(config: ModelConfig, folder: Path, trust_remote_code: bool = False) -> LoadedModel:
    """Load the base that a PEFT folder names with the adapter on it, a frozen `PeftModel`.

    Args:
        config: dtype, device and attention of the base, and its revision if not the one it was adapted at;
            the folder names it.
        folder: a PEFT folder.
        trust_remote_code: let the base's repository run its own code.

    Raises:
        UserError: no safetensors weights, a base that cannot be loaded, or one they do not fit.
    """
    check_adapter(folder)  # first: the base takes long
    base = load_model(resolve(folder).base_config(config), trust_remote_code)
    return with_adapter(base, folder)


def merge_adapter(adapted: LoadedModel) -> LoadedModel:
    """Put the adapter of a `PeftModel` into the weights, in their own type.

    In bfloat16 what is below half a unit in a weight's last place is lost; float32 keeps it.

    Raises:
        UserError: it is of a kind that weights cannot hold.
    """
    _untie(adapted.model)
    with in_a_sentence(
        f"The adapter in {adapted.name} cannot be merged into its base; `reasonmaxxer evaluate` can read "
        "it beside the weights."
    ):
        merged = adapted.model.merge_and_unload()
    return replace(adapted, model=merged.eval().requires_grad_(False), path=None)


def check_adapter(folder: Path) -> list[Path]:
    """The files of an adapter, looked into before its base is loaded.

    Raises:
        UserError: no PEFT folder, no safetensors weights, a config that cannot be read, or an adapter
            that is tokens before the prompt.
    """
    from peft import PeftConfig

    if not is_adapter(folder):
        raise UserError(f"{folder} has no {ADAPTER_CONFIG}: it is not a PEFT folder.")
    files = files_of(folder)
    with in_a_sentence(f"{folder / ADAPTER_CONFIG} cannot be read: save it again with PEFT."):
        config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise UserError(
            f"The adapter in {folder} is {config.peft_type.value}, learnt tokens before the prompt: only "
            "adapters of weights, such as LoRA, are read."
        )
    return files


def with_adapter(base: LoadedModel, folder: Path) -> LoadedModel:
    """A base with an adapter beside its weights, where no rounding touches it.

    Args:
        base: the model; its modules are wrapped in place.
        folder: of the adapter, in PEFT's form. A tokenizer or chat template in it takes the base's place.

    Raises:
        UserError: as `check_adapter`, or it is an adapter of another model.
    """
    from peft import PeftModel

    files = check_adapter(folder)
    with in_a_sentence(
        f"The adapter in {folder} does not fit its base {base.name}: name the one it was trained on in "
        f"{ADAPTER_CONFIG}."
    ):
        _refuse_extremes(read_settings(folder / ADAPTER_CONFIG), files[0], base.model)
        model = PeftModel.from_pretrained(base.model, str(folder))
        found = model.load_adapter(str(folder), "default")  # again: the first tells of nothing
        tokenizer = _own_tokenizer(base, folder)
    # VB-LoRA's bank is one for all layers, and there
    missing = [key for key in found.missing_keys if "vblora_vector_bank" not in key]
    names = [[k.replace(".default.", ".") for k in ks] for ks in (missing, found.unexpected_keys)]
    refuse_other_weights(str(folder), *names)
    for name, weight in model.named_parameters():
        if ".default" in name and not weight.isfinite().all():
            raise UserError(
                f"{folder} holds numbers that are not finite, in {name}: its training diverged, or the "
                "file is damaged. Take another checkpoint."
            )
    return replace(
        base,
        model=model.eval().requires_grad_(False),
        tokenizer=tokenizer,
        name=str(folder),
        source=f"adapter on {base.name} ({base.source})",
        fingerprint=fingerprint(files, base.fingerprint),
    )


def _own_tokenizer(base: LoadedModel, folder: Path) -> Any:
    """An adapter's own tokenizer, else the base's; with its own chat template."""
    if (folder / "tokenizer_config.json").is_file():
        from transformers import AutoTokenizer

        own = AutoTokenizer.from_pretrained(folder, trust_remote_code=base.trust_remote_code)
        set_padding(own, base.model)
        return own
    template = folder / "chat_template.jinja"
    if not template.is_file():
        return base.tokenizer
    tokenizer = copy.copy(base.tokenizer)
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def _refuse_extremes(config: dict[str, Any], weights: Path, model: Any) -> None:
    """Refuse an adapter's config that would keep PEFT busy for ever, or fill the memory, before it tries.

    Raises:
        UserError: it says which key.
    """
    from safetensors import safe_open

    with safe_open(weights, framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    widest = max((length for shape in shapes for length in shape), default=1)
    sizes = {key: config.get(key) for key in SIZES} | dict(config.get("rank_pattern") or {})
    for key, size in sizes.items():
        if isinstance(size, int) and size > widest:
            raise UserError(
                f"{weights.with_name(ADAPTER_CONFIG)}: '{key}' is {size:,}, and no weight beside it is larger than "
                f"{widest:,}: it is damaged or another adapter's."
            )
    values = [config.get(key) or () for key in PATTERNS]
    listed = [p for value in values for p in ((value,) if isinstance(value, str) else value)]
    patterns = [pattern for pattern in listed if isinstance(pattern, str)]
    names = [name for name, _ in model.named_modules()]
    check_patterns(patterns, names, str(weights.with_name(ADAPTER_CONFIG)))


def _untie(model: Any) -> None:
    """Give the head weights of its own where it or the embedding has an adapter that the other has not."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    adapted = hasattr(head, "base_layer") or hasattr(embedding, "base_layer")
    if adapted and head.weight is embedding.weight:
        from torch import nn

        layer = getattr(head, "base_layer", head)
        layer.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.get_base_model().config.tie_word_embeddings = False
