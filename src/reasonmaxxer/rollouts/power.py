"""Power sampling: an engine around an engine, whose temperature sharpens whole sequences instead of each token.

With the model p and alpha = 1/temperature the target, over sequences x that end or have L tokens, is

    pi(x) = p(x)^alpha / Z,    p(x) = prod_i p(x_i | x_<i)    (arXiv 2510.14901).

Ordinary sampling at that temperature draws each token from q(x_i | x_<i) = p(x_i | x_<i)^alpha / Z_i(x), where Z_i(x)
depends on x_<i alone: it knows nothing of what a token leads to. A Metropolis-Hastings chain mends that. One step cuts
x before token t, chosen with probability c(t | x) = w_t(x) / W(x), where W(x) = sum_t w_t(x), and draws the rest anew
from q, until it ends or has L tokens. The result y goes back to x by the same cut, so it is accepted with probability
min(1, r),

    r = [pi(y) c(t | y) q(x_t.. | x_<t)] / [pi(x) c(t | x) q(y_t.. | y_<t)],

and pi satisfies detailed balance cut by cut. Since p^alpha / q is Z_i at each token, and w_t(x) = w_t(y), as the
weight of a cut depends on the tokens before it alone,

    log r = sum_{i >= t} log Z_i(y) - sum_{i >= t} log Z_i(x) + log W(x) - log W(y).

Where cuts are uniform W is the length, which differs if one of both ended sooner. Where they follow the entropy, the
first weight is above zero all the same, so that every sequence can be reached from every other.

L grows by blocks, with some steps after each; a completion that has ended after the steps of a block is done, as in
a port of the code of arXiv 2510.14901.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from reasonmaxxer.config import PowerConfig, SamplingConfig
from reasonmaxxer.rollouts.engine import Completion, Engine, OnTokens, Request, rollout_seed
from reasonmaxxer.rollouts.sampling import uniforms

_Draw = Callable[[Sequence["_Chain"], Sequence[int]], list["Trace"]]
SMALLEST = 1e-9
"""Least weight of a cut before the first token, nats."""


@dataclass(frozen=True)
class Trace:
    """A completion with log Z_i before each of its tokens, nats: of p^alpha less q at any token, so at its own."""

    completion: Completion
    log_normaliser: list[float]

    def weights(self, config: PowerConfig) -> np.ndarray:
        """w_t: how likely a cut before each token is, relatively, float64 [T]."""
        entropy_T = np.array(self.completion.entropy)
        weight_T = {
            "uniform": np.ones(len(entropy_T)),
            "jumps": np.diff(entropy_T, prepend=0.0).clip(min=0.0),
            "gate": (entropy_T > config.tau).astype(float),
        }[config.cuts]
        weight_T[0] = 1.0 if config.cuts == "gate" else max(weight_T[0], SMALLEST)
        return weight_T

    def then(self, cut: int, new: Completion, alpha: float) -> "Trace":
        """The first tokens, and what was drawn after them."""
        kept = self.completion
        logprob, tempered = new.logprob or [], new.tempered or []
        joined = Completion(
            kept.ids[:cut] + new.ids,
            (kept.entropy or [])[:cut] + (new.entropy or []),
            (kept.logprob or [])[:cut] + logprob,
            new.finish_reason,
        )
        normalisers = [alpha * p - q for p, q in zip(logprob, tempered, strict=True)]
        return Trace(joined, self.log_normaliser[:cut] + normalisers)


def log_acceptance(x: Trace, y: Trace, cut: int, config: PowerConfig) -> float:
    """log r of going from x to y, which share the tokens before a cut."""
    targets = sum(y.log_normaliser[cut:]) - sum(x.log_normaliser[cut:])
    return targets + float(np.log(x.weights(config).sum()) - np.log(y.weights(config).sum()))


@dataclass
class _Chain:
    """The chain of one request, which has made so many draws."""

    request: Request
    trace: Trace = Trace(Completion([], [], [], "length"), [])
    draws: int = 0

    def next_request(self, cut: int, length: int) -> Request:
        """For what follows a cut, up to so many tokens in all."""
        kept = (*self.request.prompt_ids, *self.trace.completion.ids[:cut])
        self.draws += 1
        seed = rollout_seed(self.request.seed, "draw", self.draws)
        return replace(self.request, prompt_ids=kept, seed=seed, limit=length - cut)

    def uniforms(self) -> np.ndarray:
        """The numbers that choose the next cut and accept what is drawn there."""
        return uniforms(rollout_seed(self.request.seed, "step", self.draws), 2)


class PowerEngine(Engine):
    """Samples from the power distribution, the chains of all requests together.

    Args:
        engine: draws blocks and proposals; it tells entropies, and log-probabilities raw and tempered.
        config: cuts, blocks and steps.
    """

    def __init__(self, engine: Engine, config: PowerConfig) -> None:
        self.engine, self.config = engine, config
        self.name, self.version, self.settings = engine.name, engine.version, engine.settings
        self._sampled: list[tuple[int, int]] = []

    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, on_tokens: OnTokens | None = None
    ) -> list[Completion]:
        """Complete every request by a chain of its own, which its seed fixes."""
        tell = on_tokens or (lambda tokens, finished: None)
        chains = left = [_Chain(request) for request in requests]
        blocks = min(self.config.blocks, sampling.max_new_tokens)
        for block in range(1, blocks + 1):
            draw = partial(self._draw, -(-sampling.max_new_tokens * block // blocks), sampling, tell)
            for chain, grown in zip(left, draw(left, [len(c.trace.completion.ids) for c in left]), strict=True):
                chain.trace = grown
            for _ in range(self.config.steps):
                self._step(left, draw)
            going_on = [c for c in left if c.trace.completion.finish_reason != "stop" and block < blocks]
            tell(0, len(left) - len(going_on))
            left = going_on
        self.version = self.engine.version
        self.settings = {**self.engine.settings, "power": self.config.model_dump(mode="json")}
        return [chain.trace.completion for chain in chains]

    def sampled(self) -> list[tuple[int, int]]:
        """Tokens before and in every block and proposal since this was last asked."""
        sampled, self._sampled = self._sampled, []
        return sampled

    def close(self) -> None:
        """End what the engine within has started."""
        self.engine.close()

    def _step(self, chains: Sequence[_Chain], draw: _Draw) -> None:
        """One step of every chain."""
        uniform_C2 = [chain.uniforms() for chain in chains]
        sums = [chain.trace.weights(self.config).cumsum() for chain in chains]
        cuts = [int(np.searchsorted(s, u * s[-1], "right")) for s, (u, _) in zip(sums, uniform_C2, strict=True)]
        for chain, y, cut, (_, u) in zip(chains, draw(chains, cuts), cuts, uniform_C2, strict=True):
            if u < np.exp(min(0.0, log_acceptance(chain.trace, y, cut, self.config))):
                chain.trace = y

    def _draw(
        self, length: int, sampling: SamplingConfig, tell: OnTokens, chains: Sequence[_Chain], cuts: Sequence[int]
    ) -> list[Trace]:
        """Every chain's completion with what follows its cut drawn anew, up to so many tokens in all."""
        requests = [chain.next_request(cut, length) for chain, cut in zip(chains, cuts, strict=True)]
        made = self.engine.generate(requests, sampling, lambda tokens, finished: tell(tokens, 0))
        self._sampled += [(len(r.prompt_ids), len(m.ids)) for r, m in zip(requests, made, strict=True)]
        alpha = 1 / sampling.temperature
        return [c.trace.then(cut, new, alpha) for c, cut, new in zip(chains, cuts, made, strict=True)]
