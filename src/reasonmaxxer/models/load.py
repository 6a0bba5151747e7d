"""Loading a base model once, in the form that suits the device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonmaxxer.artifacts import file_hash, read_json
from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError, did_you_mean
from reasonmaxxer.models.embedded import EMBEDDED, resolve_embedded
from reasonmaxxer.models.memory import configure_memory
from reasonmaxxer.models.teachers import teachers
from reasonmaxxer.trial import check_patterns

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
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
        fingerprint: SHA-256 over the weight files, or the hub commit.
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
        UserError: no such model, no safetensors weights, or one that cannot be read as it must be.
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
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=resolve_dtype(config, device),
            attn_implementation=None if config.attention == "auto" else config.attention,
            use_safetensors=True,
            **_quantized(config, device),
            **options,
        )
    except (OSError, ValueError) as error:
        raise UserError(_cannot_load(config, error)) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if device == "cpu":
        configure_memory()
    if config.quantization == "none":
        model = model.to(device)  # quantized weights are where they were made
    model = model.eval().requires_grad_(False)
    from reasonmaxxer.models.reading import reading

    reading(model)
    fingerprint = _fingerprint(path, config.revision)
    origin = (name, source, fingerprint)
    return LoadedModel(model, tokenizer, *origin, config, trust_remote_code, path)


def is_adapter(path: Path) -> bool:
    """Whether a path is that of a PEFT folder."""
    return (path / CONFIG).is_file()


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
    adapter_weights(folder)
    base = load_model(base_config(config, folder), trust_remote_code)
    return with_adapter(base, folder)


def merge_adapter(adapted: LoadedModel) -> LoadedModel:
    """Put the adapter of a `PeftModel` into the weights, in their own type.

    In bfloat16 what is below half a unit in a weight's last place is lost; float32 keeps it.
    """
    _untie(adapted.model)
    merged = adapted.model.merge_and_unload().eval().requires_grad_(False)
    return replace(adapted, model=merged, path=None)


def adapter_weights(folder: Path) -> Path:
    """The weights of an adapter.

    Raises:
        UserError: no PEFT folder, or no safetensors weights.
    """
    from peft.utils import SAFETENSORS_WEIGHTS_NAME

    if not is_adapter(folder):
        raise UserError(f"{folder} has no {CONFIG}: it is not a PEFT folder.")
    weights = folder / str(SAFETENSORS_WEIGHTS_NAME)
    if not weights.is_file():
        raise UserError(
            f"{folder} has no {SAFETENSORS_WEIGHTS_NAME}, the only kind that is loaded."
        )
    return weights


def base_of(folder: Path) -> str:
    """Name of the base that a PEFT folder names, as it is loaded by."""
    base_name: str = read_json(folder / CONFIG)["base_model_name_or_path"]
    return {model.hub_id: name for name, model in EMBEDDED.items()}.get(base_name, base_name)


def base_config(config: ModelConfig, folder: Path) -> ModelConfig:
    """What loads the base that a PEFT folder names; at the revision it records, if the config has none."""
    revision = config.revision or read_json(folder / CONFIG).get("revision")
    return config.model_copy(update={"name": base_of(folder), "revision": revision})


def with_adapter(base: LoadedModel, folder: Path) -> LoadedModel:
    """A base with an adapter beside its weights, where no rounding touches it.

    Args:
        base: the model; its modules are wrapped in place.
        folder: of the adapter, in PEFT's form.

    Raises:
        UserError: no PEFT folder, no safetensors weights, or an adapter of another model.
    """
    from peft import PeftModel

    weights = adapter_weights(folder)
    _refuse_extremes(read_json(folder / CONFIG), weights, base.model)
    try:
        model = PeftModel.from_pretrained(base.model, str(folder))
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"The adapter in {folder} does not fit its base {base.name}: {str(error).splitlines()[0]}"
        ) from error
    return replace(
        base,
        model=model.eval().requires_grad_(False),
        name=str(folder),
        source=f"adapter on {base.name} ({base.source})",
        fingerprint=hashlib.sha256((base.fingerprint + file_hash(weights)).encode()).hexdigest(),
    )


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
    """Give a head with an adapter weights of its own, so that merging leaves the embedding as it is."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if hasattr(head, "base_layer") and head.weight is embedding.weight:
        from torch import nn

        head.base_layer.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.get_base_model().config.tie_word_embeddings = False


def eos_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Token ids that end a completion, by generation config and tokenizer."""
    listed = model.generation_config.eos_token_id
    listed = [listed] if isinstance(listed, int) else list(listed or [])
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return tuple(sorted({*listed, *own}))


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
    folder = Path(config.name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder} has no config.json: it is not a transformers model folder.")
        if not list(folder.glob("*.safetensors")):
            raise UserError(
                f"{folder} has no .safetensors weights, the only kind that is loaded. Convert them "
                "with save_pretrained."
            )
        return config.name, config.name, "folder"
    return config.name, config.name, "hub"


def _cannot_load(config: ModelConfig, error: Exception) -> str:
    known = [*EMBEDDED, *teachers()]
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"model.name = '{config.name}' cannot be loaded.{did_you_mean(config.name, known)} It must be "
        f"a local folder, a hub id that can be reached, or one of: {', '.join(known)}. ({first})"
    )


def _fingerprint(path: str, revision: str | None) -> str:
    files = sorted(Path(path).glob("*.safetensors"))
    if not files:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(path, "config.json", revision=revision)
        return Path(cached).parent.name if isinstance(cached, str) else "unknown"
    return hashlib.sha256("".join(file_hash(f) for f in files).encode()).hexdigest()
