"""The two halves of a causal language model: the decoder, and the head that makes logits."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from reasonmaxxer.errors import UserError


def unwrapped(model: Any) -> Any:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder(model: Any) -> Any:
    """The module whose `last_hidden_state` is what the head reads, its adapter in place."""
    inner = unwrapped(model)
    found = inner.get_decoder()  # in some families the model itself, or the head's projection
    return found if isinstance(found, PreTrainedModel) and found is not inner else inner.base_model


class OutputHead:
    """Final hidden states [..., D] to logits [..., V], as the model itself would.

    Covers bias and tied weights, soft-capped logits (Gemma 2), divided (Granite) and multiplied
    (Cohere) ones. Logits keep the weights' type; convert them a chunk at a time.

    Args:
        model: a causal LM, PEFT-wrapped or not.
    """

    def __init__(self, model: Any) -> None:
        inner = unwrapped(model)
        config = inner.config.get_text_config()
        self.projection = inner.get_output_embeddings()
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self.scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, in the weights' type and on their device."""
        # Past the module's hooks: FSDP takes what its hooks see differentiated for the end of a backward
        # pass, and frees weights that the pass still needs. The decoder's last call has gathered these.
        weight = self.projection.weight
        logits: Tensor = self.projection.forward(hidden.to(weight.device, weight.dtype))
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits


def unlike_head(model: Any) -> str | None:
    """How a model's own logits differ from those of `OutputHead`, or none.

    Where they do, the loss and the entropies would be wrong.

    Raises:
        UserError: they are no numbers.
    """
    vocabulary = unwrapped(model).get_input_embeddings().num_embeddings
    ids = torch.arange(3, 11, device=model.device)[None] % vocabulary
    hidden: list[Tensor] = []
    watch = decoder(model).register_forward_hook(lambda _, __, output: hidden.append(output[0]))
    # all logits, asked for as training asks for none
    own = model(input_ids=ids, use_cache=False, logits_to_keep=0).logits.float()
    watch.remove()
    ours = OutputHead(model)(hidden[0]).float()
    if own.isnan().any():
        dtype = str(model.dtype).removeprefix("torch.")
        raise UserError(
            f"{model.name_or_path} gives logits that are no numbers: its weights hold NaN, or are too "
            f"large for {dtype}; set its dtype to float32, or take another copy."
        )
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    if torch.allclose(own, ours, rtol=tolerance, atol=tolerance * own.abs().max().item()):
        return None
    off = (own - ours).abs().max()
    return f"it changes its logits in a way that is not known here (largest difference {off:.3g})"
