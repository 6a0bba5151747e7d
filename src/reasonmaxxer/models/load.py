"""Loading a base model once, in the form that suits the device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.models.embedded import EMBEDDED, resolve_embedded
from reasonmaxxer.models.files import (
    CONFIG,
    INDEX,
    adapter_config,
    base_name,
    files_of,
    fingerprint,
    is_adapter,
    refuse_other_weights,
    shards_of,
)
from reasonmaxxer.models.memory import configure_memory
from reasonmaxxer.models.teachers import teachers
from reasonmaxxer.trial import check_patterns

if TYPE_CHECKING:
    import torch

PATTERNS = (
    *("target_modules", "exclude_modules", "modules_to_save"),
    *("layers_pattern", "rank_pattern", "alpha_pattern"),
)
"""Keys of an adapter's config whose strings PEFT takes for regular expressions."""
SIZES = ("r", "init_r", "num_vectors", "n_frequency")
"""Keys that say how large an adapter is."""


@dataclass
class LoadedModel:
    """A base model ready to sample from and to adapt.

    Attributes:
        model: the causal LM, frozen, in eval mode.
        tokenizer: its tokenizer, with a padding token.
        name: what the recipe calls it; for an embedded model its hub id.
        source: where the weights came from.
        fingerprint: SHA-256 over the files that decide its answers, or the hub commit.
        config: what loads it again, elsewhere.
        trust_remote_code: whether its repository's own code may run.
        path: folder or hub id of the weights, without an adapter beside them; None of weights that an
            adapter was merged into.
    """

    model: Any
    tokenizer: Any
    name: str
    source: str
    fingerprint: str
    config: ModelConfig
    trust_remote_code: bool
    path: str | None

    @property
    def identity(self) -> dict[str, str]:
        """What a run records of it."""
        return {
            "name": self.name,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }


def load_model(config: ModelConfig, trust_remote_code: bool = False) -> LoadedModel:
    """Load a causal LM and its tokenizer by name of an embedded model or teacher, local folder or hub id.

    A local PEFT folder is a model too: its base with the adapter merged into it.

    Raises:
        UserError: no such model, no safetensors weights, weights of another model, or one that cannot be
            read as it must be.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = adapter_of(config.name)
    if adapter:
        if config.quantization != "none":
            raise UserError(
                f"model.name = '{config.name}' is an adapter, which cannot be merged into weights of four "
                "bits without loss: take model.quantization off, or name a base."
            )
        merged = merge_adapter(load_adapter(config, adapter, trust_remote_code))
        return replace(merged, name=config.name, config=config)
    path, name, source = _locate(config)
    device = resolve_device(config)
    check_quantization(config)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": config.revision}
    with _in_a_sentence(_cannot_load(config)):
        files = _files(path, config.revision)
        hashing = ThreadPoolExecutor(1)  # gigabytes, hashed while they are loaded
        made_of = hashing.submit(fingerprint, files) if files else None
        hashing.shutdown(wait=False)
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model, found = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=resolve_dtype(config, device),
            attn_implementation=None if config.attention == "auto" else config.attention,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused here
            **_quantized(config, device),
            **options,
        )
    _set_padding(tokenizer, model)
    shapes = [f"{key} {tuple(a)}, not {tuple(b)}" for key, a, b in found["mismatched_keys"]]
    refuse_other_weights(path, found["missing_keys"], found["unexpected_keys"], shapes)
    if device == "cpu":
        configure_memory()
    if config.quantization == "none":
        model = model.to(device)  # quantized weights are where they were made
    model = model.eval().requires_grad_(False)
    from reasonmaxxer.models.reading import reading

    reading(model)
    identity = made_of.result() if made_of else _commit(path, config.revision)
    return LoadedModel(model, tokenizer, name, source, identity, config, trust_remote_code, path)


def adapter_of(name: str) -> Path | None:
    """The PEFT folder that a model's name stands for: an embedded teacher's, or one of your own."""
    folder = teachers().get(name, Path(name))
    return folder if is_adapter(folder) else None


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
    base = load_model(base_config(config, folder), trust_remote_code)
    return with_adapter(base, folder)


def merge_adapter(adapted: LoadedModel) -> LoadedModel:
    """Put the adapter of a `PeftModel` into the weights, in their own type.

    In bfloat16 what is below half a unit in a weight's last place is lost; float32 keeps it.

    Raises:
        UserError: it is of a kind that weights cannot hold.
    """
    _untie(adapted.model)
    with _in_a_sentence(
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

    adapter_config(folder)
    files = files_of(folder)
    with _in_a_sentence(f"{folder / CONFIG} cannot be read: save it again with PEFT."):
        config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise UserError(
            f"The adapter in {folder} is {config.peft_type.value}, learnt tokens before the prompt: only "
            "adapters of weights, such as LoRA, are read."
        )
    return files


def base_of(folder: Path) -> str:
    """Name of the base that a PEFT folder names, as it is loaded by."""
    name = base_name(folder)
    return {model.hub_id: ours for ours, model in EMBEDDED.items()}.get(name, name)


def base_config(config: ModelConfig, folder: Path) -> ModelConfig:
    """What loads the base that a PEFT folder names; at the revision it records, if the config has none."""
    revision = config.revision or adapter_config(folder).get("revision")
    return config.model_copy(update={"name": base_of(folder), "revision": revision})


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
    with _in_a_sentence(
        f"The adapter in {folder} does not fit its base {base.name}: name the one it was trained on in "
        f"{CONFIG}."
    ):
        _refuse_extremes(adapter_config(folder), files[0], base.model)
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
        _set_padding(own, base.model)
        return own
    template = folder / "chat_template.jinja"
    if not template.is_file():
        return base.tokenizer
    tokenizer = copy.copy(base.tokenizer)
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def _set_padding(tokenizer: Any, model: Any) -> None:
    """Give a tokenizer a padding token that the model has."""
    pad = tokenizer.pad_token_id
    if pad is None or pad >= len(model.get_input_embeddings().weight):
        tokenizer.pad_token = tokenizer.eos_token


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
                f"{weights.with_name(CONFIG)}: '{key}' is {size:,}, and no weight beside it is larger than "
                f"{widest:,}: it is damaged or another adapter's."
            )
    values = [config.get(key) or () for key in PATTERNS]
    listed = [p for value in values for p in ((value,) if isinstance(value, str) else value)]
    patterns = [pattern for pattern in listed if isinstance(pattern, str)]
    names = [name for name, _ in model.named_modules()]
    check_patterns(patterns, names, str(weights.with_name(CONFIG)))


def _untie(model: Any) -> None:
    """Give the head weights of its own where it or the embedding has an adapter that the other has not."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    adapted = hasattr(head, "base_layer") or hasattr(embedding, "base_layer")
    if adapted and head.weight is embedding.weight:
        from torch import nn

        layer = getattr(head, "base_layer", head)
        layer.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.get_base_model().config.tie_word_embeddings = False


def eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Token ids that end a completion, by generation config and tokenizer.

    Raises:
        UserError: neither names any.
    """
    listed = model.generation_config.eos_token_id
    listed = [listed] if isinstance(listed, int) else list(listed or [])
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ends = {*listed, *own}
    if not ends or not all(isinstance(id, int) for id in ends):
        raise UserError(
            f"{tokenizer.name_or_path or 'The model'} names no token that ends a completion: write its "
            "eos_token_id, a number, into generation_config.json."
        )
    return tuple(sorted(ends))


def table_positions(model: Any) -> int | None:
    """Positions that a model has a table of, learnt or made; None of one that computes them as it goes."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    tensors = (*model.named_parameters(), *model.named_buffers())
    tables = [t for n, t in tensors if t.dim() == 2 and ("pos" in n or "wpe" in n)]
    # OPT's has two rows more
    return limit if limit and any(0 <= len(t) - limit <= 2 for t in tables) else None


def resolve_device(config: ModelConfig) -> str:
    """`cuda` where there is one, else `cpu`; or what the config says.

    Raises:
        UserError: the device asked for is not there.
    """
    import torch

    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"model.device = '{config.device}' is not available: {error}") from error
    return config.device


def resolve_dtype(config: ModelConfig, device: str) -> torch.dtype:
    """The weights' type: bfloat16 only where the device multiplies it natively.

    A CPU without AVX512-BF16 or AMX converts every product; measured on AVX2 it is seven times slower
    than float32.
    """
    import torch

    if config.dtype != "auto":
        return getattr(torch, config.dtype)  # type: ignore[no-any-return]
    if device.startswith("cuda"):
        native = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if native else torch.float16
    capabilities = torch.cpu.get_capabilities() if device == "cpu" else {}
    fast = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


def check_quantization(config: ModelConfig) -> None:
    """Refuse weights in four bits where they cannot be had, before long work starts.

    Raises:
        UserError: the device is no CUDA device, or bitsandbytes is not installed.
    """
    if config.quantization == "none":
        return
    device = resolve_device(config)
    if not device.startswith("cuda"):
        raise UserError(
            f"model.quantization = '4bit' needs a CUDA device, and model.device is {device}: take it off "
            "the recipe."
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "model.quantization = '4bit' needs bitsandbytes: pip install 'reasonmaxxer[quantized]'."
        )


def _quantized(config: ModelConfig, device: str) -> dict[str, Any]:
    """What `from_pretrained` is told to make NF4 of the linear layers; the output head stays whole."""
    if config.quantization == "none":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=resolve_dtype(config, device),
    )
    return {
        "quantization_config": nf4,
        "device_map": {"": torch.device("cuda", torch.cuda.current_device())},
    }


def _locate(config: ModelConfig) -> tuple[str, str, str]:
    """Path or hub id to load, name to record, and where it comes from."""
    if config.name in EMBEDDED:
        cached = resolve_embedded(config.name)
        return str(cached.path), EMBEDDED[config.name].hub_id, cached.source
    return config.name, config.name, "folder" if Path(config.name).is_dir() else "hub"


def _cannot_load(config: ModelConfig) -> str:
    known = [*EMBEDDED, *teachers()]
    says = f"model.name = '{config.name}' cannot be loaded."
    if Path(config.name).is_dir():
        return f"{says} Download it or save it again, and install what it asks for."
    return (
        f"{says}{did_you_mean(config.name, known)} It must be a local folder, a hub id that can be "
        f"reached, or one of: {', '.join(known)}."
    )


@contextmanager
def _in_a_sentence(says: str) -> Iterator[None]:
    """Make whatever a library raises over other people's files a user's error; it may be of any kind."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        said = said if " " in said else f"{type(error).__name__} {said}"
        raise UserError(f"{says} ({said[:300]}{' ...' if said[300:] else ''})") from error


def _files(path: str, revision: str | None) -> list[Path]:
    """Files of a local model, looked into; of a hub's repository none, but its index of weights is."""
    if Path(path).is_dir():
        return files_of(Path(path))
    from transformers.utils import cached_file

    index = cached_file(path, INDEX, revision=revision, _raise_exceptions_for_missing_entries=False)
    if index:
        shards_of(Path(index))
    return []


def _commit(path: str, revision: str | None) -> str:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(cached).parent.name if isinstance(cached, str) else "unknown"
