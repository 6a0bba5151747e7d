"""Models: a base loaded once, its output head, and the ones that need no hub."""

from reasonmaxxer.models.base import LoadedModel, eos_ids, resolve_device, resolve_dtype
from reasonmaxxer.models.embedded import EMBEDDED, is_cached, resolve_embedded
from reasonmaxxer.models.head import OutputHead, decoder
from reasonmaxxer.models.load import load_model

__all__ = [
    "EMBEDDED",
    "LoadedModel",
    "OutputHead",
    "decoder",
    "eos_ids",
    "is_cached",
    "load_model",
    "resolve_device",
    "resolve_dtype",
    "resolve_embedded",
]
