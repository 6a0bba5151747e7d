"""Completions as they grow: each drawn token is kept until a token, a length or a string ends its completion."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.rollouts.engine import Completion, OnTokens, Request
from reasonmaxxer.rollouts.sampling import Draws, draw, uniforms
from reasonmaxxer.rollouts.stop import StopStrings


class Drawing:
    """Draws the tokens of several requests, whatever they are decoded with, and keeps them.

    Args:
        requests: prompts and seeds; what a rollout draws depends on its seed alone.
        sampling: how tokens are drawn, the longest length and the stop strings.
        eos_ids: tokens that end a completion.
        tokenizer: which only stop strings need.
        on_tokens: told of tokens kept and completions finished.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        sampling: SamplingConfig,
        eos_ids: Collection[int],
        tokenizer: Any,
        on_tokens: OnTokens | None = None,
    ) -> None:
        self.requests, self.sampling = requests, sampling
        self.completions = [Completion([], [], [], "length", []) for _ in requests]
        self._tails = [bytearray() for _ in requests]  # what stop strings may begin with
        self._stop = StopStrings(sampling.stop, tokenizer)
        self._eos_ids, self._on_tokens = eos_ids, on_tokens

    def uniforms(self, number: int) -> Tensor:
        """The numbers that draw a request's tokens, float64 [longest completion]."""
        return torch.from_numpy(uniforms(self.requests[number].seed, self.sampling.max_new_tokens))

    def draw(self, logits_BV: Tensor, uniform_B: Tensor, search: bool = True) -> Draws:
        """The next token of every row; see `sampling.draw`."""
        return draw(logits_BV, uniform_B, self.sampling.temperature, self.sampling.top_p, search)

    def record(self, drawn: Sequence[tuple[Sequence[int], Draws]], owners: list[int | None]) -> None:
        """Keep what was drawn, each row's up to its end or its first token that is no draw.

        Args:
            drawn: the slots of some rows and their draws, one step after another; rows beyond the slots pad.
            owners: the number of the request in each slot, None in an empty one; slots whose completion ends
                become empty.
        """
        packed = torch.cat([torch.stack([column.double() for column in draws], 1) for _, draws in drawn])
        rows = iter(packed.tolist())  # the one transfer from a GPU
        kept = finished = 0
        invalid: set[int] = set()
        for slots, draws in drawn:
            step = [next(rows) for _ in draws.token_B]
            for slot, (token, entropy, logprob, tempered, valid) in zip(slots, step, strict=False):
                owner = owners[slot]
                if not valid:
                    invalid.add(slot)
                if owner is None or slot in invalid:
                    continue
                kept += 1
                if self._keep(owner, int(token), entropy, logprob, tempered):
                    owners[slot] = None
                    finished += 1
        if self._on_tokens:
            self._on_tokens(kept, finished)

    def _keep(self, number: int, token: int, entropy: float, logprob: float, tempered: float) -> bool:
        """Add a token to a completion; whether it is the last."""
        completion, limit = self.completions[number], self.requests[number].limit
        assert completion.entropy is not None and completion.logprob is not None and completion.tempered is not None
        completion.ids.append(token)
        completion.entropy.append(entropy)
        completion.logprob.append(logprob)
        completion.tempered.append(tempered)
        if token in self._eos_ids or self._stop.ends(self._tails[number], token):
            self.completions[number] = replace(completion, finish_reason="stop")
            return True
        return len(completion.ids) >= (limit or self.sampling.max_new_tokens)
