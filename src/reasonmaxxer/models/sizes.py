"""How much a device handles at once.

A CPU works from its caches and pays for every padded row; an accelerator must be given enough to compute that it
does not wait for its host. Nothing else in the package depends on these numbers but time and memory.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What one type of device handles at once.

    Attributes:
        row_tokens: tokens of a row of several sequences, or of a padded batch; a row is read at once, so this
            bounds the memory of activations.
        prompt_tokens: tokens of the prompts that are read together before decoding, padding included.
        logit_bytes: logits that exist at once, in the weights' type. With 152k tokens and bfloat16 weights, 32 MiB
            are 110 positions, enough rows for a fast product with the head of a CPU; 512 MiB are 1,766, which fill
            a large GPU.
    """

    row_tokens: int
    prompt_tokens: int
    logit_bytes: int

    @property
    def statistics(self) -> int:
        """Numbers of a chunk's logits turned into float32 statistics at once: 4 MiB on a CPU, to stay in cache."""
        return self.logit_bytes // 32


CPU = Sizes(row_tokens=1024, prompt_tokens=1024, logit_bytes=32 * 2**20)
ACCELERATOR = Sizes(row_tokens=4096, prompt_tokens=8192, logit_bytes=512 * 2**20)


def sizes(device: str) -> Sizes:
    """Sizes for a type of device, `cpu` or another."""
    return CPU if device == "cpu" else ACCELERATOR
