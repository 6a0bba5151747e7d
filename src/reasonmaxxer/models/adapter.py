"""An adapter's weights in the type of the model they adapt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def adapter_in_model_dtype(model: Any) -> Iterator[None]:
    """Round LoRA weights to the model's type within the block; training keeps them in float32.

    Training multiplies by the rounded weights too (mixed precision), so both see one adapter. Without
    this, every adapted layer converts its input to float32 and back.
    """
    adapted = [
        (parameter, parameter.data)
        for name, parameter in model.named_parameters()
        if "lora_" in name and parameter.dtype != model.dtype
    ]
    for parameter, full in adapted:
        parameter.data = full.to(model.dtype)
    try:
        yield
    finally:
        for parameter, full in adapted:
            parameter.data = full
