"""What an engine is: prompts in as token ids, completions out as token ids."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from reasonmaxxer.config import SamplingConfig

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """One completion to sample.

    Attributes:
        prompt_ids: rendered prompt, as the model sees it.
        seed: fixes every draw of this completion, whatever it is batched with.
    """

    prompt_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Completion:
    """One sampled completion with what the model thought at each token.

    Attributes:
        ids: T sampled token ids, the end-of-sequence token included.
        entropy: T entropies in nats of the raw distribution (temperature 1, no top-p) that each
            token was drawn from (arXiv 2605.06241, Eq. 2).
        logprob: T log-probabilities in nats of each token under that raw distribution.
        finish_reason: `stop` at an end-of-sequence token, `length` at the limit.
    """

    ids: list[int]
    entropy: list[float]
    logprob: list[float]
    finish_reason: FinishReason


OnTokens = Callable[[int, int], None]
"""Called after each step with tokens made and completions finished since the last call."""


class Engine(Protocol):
    """Anything that turns requests into completions, in the order asked."""

    name: str
    version: str

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingConfig,
        on_tokens: OnTokens | None = None,
    ) -> list[Completion]:
        """Complete every request."""
        ...


def rollout_seed(seed: int, problem_id: str, index: int) -> int:
    """Seed of one rollout, 63 bits, from the run's seed and the rollout's identity alone."""
    digest = hashlib.blake2b(f"{seed}/{problem_id}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
