"""A base model, loaded once, in the form that suits the device."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonmaxxer.config import Config, ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.cpu.memory import configure_memory
from reasonmaxxer.models.embedded import EMBEDDED, resolve_embedded
from reasonmaxxer.models.files import INDEX, files_of, fingerprint, refuse_other_weights, shards_of
from reasonmaxxer.models.teachers import near_embedded, teachers

if TYPE_CHECKING:
    import torch


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


def load_base(config: ModelConfig, trust_remote_code: bool = False) -> LoadedModel:
    """Load a causal LM and its tokenizer by name of an embedded model, local folder or hub id.

    Raises:
        UserError: no such model, no safetensors weights, weights of another model, or one that cannot be
            read as it must be.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, name, source = _locate(config)
    device = check_device(config)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": config.revision}
    with in_a_sentence(_cannot_load(config)):
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
    set_padding(tokenizer, model)
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


def set_padding(tokenizer: Any, model: Any) -> None:
    """Give a tokenizer a padding token that the model has."""
    pad = tokenizer.pad_token_id
    if pad is None or pad >= len(model.get_input_embeddings().weight):
        tokenizer.pad_token = tokenizer.eos_token


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
        raise UserError(f"device = '{config.device}' is not available: {error}") from error
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


def check_models(config: Config) -> None:
    """Refuse what no model of a command can be loaded with on this machine, before long work starts.

    Raises:
        UserError: it names the key; as by `check_device`.
    """
    for key, model in config.sections(ModelConfig):
        try:
            check_device(model)
        except UserError as error:
            raise UserError(f"{key}.{error}") from error


def check_device(config: ModelConfig) -> str:
    """The device of a model, where it and weights in four bits can be had.

    Raises:
        UserError: the device is not there, or for four bits no CUDA device, or bitsandbytes is not installed.
    """
    device = resolve_device(config)
    if config.quantization == "none":
        return device
    if not device.startswith("cuda"):
        raise UserError(f"quantization = '4bit' needs a CUDA device, and the device is {device}: set it to none.")
    if find_spec("bitsandbytes") is None:
        raise UserError("quantization = '4bit' needs bitsandbytes: pip install 'reasonmaxxer[quantized]'.")
    return device


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
    return {"quantization_config": nf4, "device_map": {"": torch.device("cuda", torch.cuda.current_device())}}


def _locate(config: ModelConfig) -> tuple[str, str, str]:
    """Path or hub id to load, name to record, and where it comes from."""
    if config.name in EMBEDDED:
        cached = resolve_embedded(config.name)
        return str(cached.path), EMBEDDED[config.name].hub_id, cached.source
    return config.name, config.name, "folder" if Path(config.name).is_dir() else "hub"


def _cannot_load(config: ModelConfig) -> str:
    says = f"The model '{config.name}' cannot be loaded."
    if Path(config.name).is_dir():
        return f"{says} Download it or save it again, and install what it asks for."
    return (
        f"{says}{near_embedded(config.name)} It must be a local folder, a hub id that can be reached, or one of: "
        f"{', '.join((*EMBEDDED, *teachers()))}."
    )


@contextmanager
def in_a_sentence(says: str) -> Iterator[None]:
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
