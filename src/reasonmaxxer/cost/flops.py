"""FLOPs of a causal language model by formula, for CPU and GPU alike.

With `N` weights in the decoder's linear layers, `H` in the output head and attention of `A = layers x
query heads x head size`, a token that attends to `c` positions takes

    2 N + 4 A c        to become a hidden state, and        2 H        to become logits.

Only what the algorithm needs is counted: masked scores, padding, recomputation, norms, activations and
softmax are not. A token of a mixture of experts is charged for every expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ModelFlops:
    """Counts for one model as it stands; an adapter's own small matrices count as linear layers.

    Args:
        model: a causal LM, PEFT-wrapped or not.
    """

    def __init__(self, model: Any) -> None:
        import torch

        from reasonmaxxer.models.head import bare, decoder

        config = bare(model).config.get_text_config()
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        linear = [m for m in decoder(model).modules() if isinstance(m, torch.nn.Linear)]
        self.linear: int = sum(m.weight.numel() for m in linear)
        self.head: int = bare(model).get_output_embeddings().weight.numel()
        self.attention: int = config.num_hidden_layers * heads * head_size

    def hidden(self, length: int) -> float:
        """Read a sequence of `length` tokens into hidden states."""
        pairs = length * (length + 1) // 2
        return 2.0 * self.linear * length + 4.0 * self.attention * pairs

    def logits(self, positions: int) -> float:
        """Make logits at so many positions."""
        return 2.0 * self.head * positions

    def sampling(self, prompt_lengths: Sequence[int], rollouts: Sequence[tuple[int, int]]) -> float:
        """Prefill each prompt once and decode its rollouts.

        Args:
            prompt_lengths: tokens of each distinct prompt.
            rollouts: tokens of prompt and completion of each rollout.
        """
        total = sum(self.hidden(prompt) + self.logits(1) for prompt in prompt_lengths)
        for prompt, completion in rollouts:
            # the last token is never read, the first comes from the prompt's logits
            decoded = self.hidden(prompt + completion - 1) - self.hidden(prompt)
            total += decoded + self.logits(completion - 1)
        return total

    def training(self, lengths: Sequence[int], decisions: int, anchored: bool) -> float:
        """One pass of ReasonMaxxer training over sequences.

        Through the decoder: the adapted model forward and, for its activations, backward (attention's
        backward is twice its forward), and the base forward if there is an anchor. Through the head:
        forward and backward at decision points; at anchors the base's forward too.

        Args:
            lengths: tokens of each sequence.
            decisions: decision points of all sequences.
            anchored: whether the other positions carry the anchor.
        """
        attention = 4.0 * self.attention * sum(n * (n + 1) // 2 for n in lengths)
        forward = sum(self.hidden(n) for n in lengths)
        total = (3 if anchored else 2) * forward + attention + 2 * self.logits(decisions)
        if anchored:
            total += 3 * self.logits(sum(lengths) - len(lengths) - decisions)
        return total
