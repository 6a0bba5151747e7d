"""What an engine is: prompts in as token ids, completions out as token ids."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reasonmaxxer.config import SamplingConfig

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """One completion to sample.

    Attributes:
        prompt_ids: rendered prompt, as the model sees it.
        seed: fixes every draw of this completion, whatever it is batched with.
        adapter: PEFT folder of the adapter that the base answers with, one for all requests of a call. An
            engine on a model in memory answers with the model as it stands, which must be the same.
        limit: longest completion, tokens, at most the sampling's, which holds where there is none.
    """

    prompt_ids: tuple[int, ...]
    seed: int
    adapter: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Completion:
    """One sampled completion with what the model thought at each token.

    Attributes:
        ids: T sampled token ids, the end-of-sequence token included.
        entropy: T entropies in nats of the raw distribution (temperature 1, no top-p) that each
            token was drawn from (arXiv 2605.06241, Eq. 2); None from an engine that does not tell.
        logprob: T log-probabilities in nats of each token under that raw distribution, or None likewise.
        finish_reason: `stop` at an end-of-sequence token, `length` at the limit.
        tempered: T log-probabilities in nats of each token at the temperature of the sampling, before the nucleus
            is cut, or None likewise.
    """

    ids: list[int]
    entropy: list[float] | None
    logprob: list[float] | None
    finish_reason: FinishReason
    tempered: list[float] | None = None


OnTokens = Callable[[int, int], None]
"""Called after each step with tokens made and completions finished since the last call."""


class Engine(Protocol):
    """Anything that turns requests into completions, in the order asked.

    Attributes:
        name: of the engine.
        version: of the library that samples; known once something was sampled.
        settings: what completions depend on beside requests and sampling, as JSON values; likewise.
    """

    name: str
    version: str
    settings: dict[str, Any]

    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> list[Completion]:
        """Complete every request."""
        ...

    def generate_shards(
        self, shards: Sequence[Sequence[Request]], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> Iterator[tuple[int, list[Completion]]]:
        """Complete every request of every shard; a shard's number with its completions, as they are done.

        A shard is decoded as by `generate`, whatever the others are.
        """
        for number, requests in enumerate(shards):
            yield number, self.generate(requests, sampling, on_tokens)

    def sampled(self) -> list[tuple[int, int]]:
        """Tokens before and in every completion that was sampled since this was last asked, thrown away ones too.

        Empty where all of them were returned.
        """
        return []

    def close(self) -> None:
        """End what the engine has started elsewhere; asked again, it starts again."""
        return


def rollout_seed(seed: int, problem_id: str, index: int) -> int:
    """Seed of one rollout, 63 bits, from the run's seed and the rollout's identity alone."""
    digest = hashlib.blake2b(f"{seed}/{problem_id}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
