"""FLOPs of a causal language model by formula, for CPU and GPU alike.

With `N` weights in the decoder's linear layers, `H` in the output head and attention of `A = layers x
query heads x head size`, a token that attends to `c` positions takes

    2 N + 4 A c        to become a hidden state, and        2 H        to become logits.

Only what the algorithm needs is counted: masked scores, padding, recomputation, norms, activations and
softmax are not. A token of a mixture of experts is charged for every expert.
"""

from collections.abc import Sequence
from typing import Any

from reasonmaxxer.rollouts.table import Rollout


class ModelFlops:
    """Counts for one model; with an adapter on it they are the base's, whose matrices dwarf a LoRA's.

    Args:
        model: a causal LM, PEFT-wrapped or not.
    """

    def __init__(self, model: Any) -> None:
        import torch

        from reasonmaxxer.models.head import decoder, unwrapped

        config = unwrapped(model).config.get_text_config()
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        modules = decoder(model).named_modules()
        linear = [m for n, m in modules if isinstance(m, torch.nn.Linear) and ".lora_" not in n]
        # not the weights' own count: in four bits two are packed into one number
        self.linear: int = sum(m.in_features * m.out_features for m in linear)
        self.head: int = unwrapped(model).get_output_embeddings().weight.numel()
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

    def rollouts(self, rollouts: Sequence[Rollout], sampled: Sequence[tuple[int, int]] = ()) -> float:
        """Sample so many rollouts, each distinct prompt read once.

        Args:
            rollouts: those that were kept.
            sampled: tokens before and in all that were drawn on the way, where others were too; each begins by
                reading the token before it again.
        """
        prompts = {tuple(r.prompt_ids) for r in rollouts}
        lengths = [(before - 1, 1 + drawn) for before, drawn in sampled]
        lengths = lengths or [(len(r.prompt_ids), len(r.completion_ids)) for r in rollouts]
        return self.sampling([len(p) for p in prompts], lengths)

    def training(self, layout: Sequence[Sequence[int]], decisions: int, *, anchored: bool, base: bool) -> float:
        """One pass of ReasonMaxxer training over prompts, each with completions that share it.

        Through the decoder: the adapted model forward and, for its activations, backward (attention's
        backward is twice its forward), and the base forward where it is not yet known. Through the head:
        forward and backward at decision points; at anchors the base's forward too.

        Args:
            layout: of each, the tokens of the prompt, read once, and of each of its completions.
            decisions: decision points of all sequences.
            anchored: whether the other positions carry the anchor.
            base: whether the base reads them in this pass.
        """
        forward = attention = 0.0
        predicted = 0
        for prompt, *completions in layout:
            own = [self.hidden(prompt + length) - self.hidden(prompt) for length in completions]
            forward += self.hidden(prompt) + sum(own)
            tokens = prompt + sum(completions)
            attention += self.hidden(prompt) + sum(own) - 2.0 * self.linear * tokens
            predicted += tokens - 1
        total = (3 if base else 2) * forward + attention + 2 * self.logits(decisions)
        if anchored:
            total += 3 * self.logits(predicted - decisions)
        return total

    def course(
        self, layout: Sequence[Sequence[int]], decisions: int, epochs: float, *, anchored: bool, fresh: bool
    ) -> float:
        """ReasonMaxxer training of one adapter for so many epochs, or for the share of one.

        Args:
            layout: what one epoch reads, as in `training`.
            decisions: decision points of all sequences.
            epochs: passes over them.
            anchored: whether the other positions carry the anchor.
            fresh: whether the base has to read the sequences, which it does in the first epoch alone.
        """
        first = self.training(layout, decisions, anchored=anchored, base=anchored and fresh)
        later = self.training(layout, decisions, anchored=anchored, base=False)
        return min(epochs, 1.0) * first + max(epochs - 1.0, 0.0) * later
