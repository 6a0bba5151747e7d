"""Gates: which completion positions are decision points.

A gate is resolved once over all the sequences it will be used on, so that a share of positions
becomes a threshold in nats, and then answers for one sequence at a time. A new kind is a row of `KINDS`, and a member
of `GateKind` and `GATE_KNOBS` in `reasonmaxxer.config`; pages and figures ask the gate.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from reasonmaxxer.config import GATE_KNOBS, GateConfig, GateKind
from reasonmaxxer.errors import NothingToLearnError
from reasonmaxxer.method.draws import keyed_random


@dataclass(frozen=True)
class Gate:
    """A resolved gate.

    Attributes:
        kind: of `KINDS`.
        tau: entropy, in nats, that parts decision points from the rest; None where entropy has no say.
        decision_share: share of completion positions that are decision points.
        seed: of the random gate.
    """

    kind: GateKind
    tau: float | None
    decision_share: float
    seed: int = 0

    @property
    def words(self) -> str:
        """Which positions are decision points, in a few words."""
        return "every position" if self.decision_share == 1 else KINDS[self.kind].words.format(tau=self.tau)

    def decisions(self, entropy_T: Sequence[float], key: str) -> np.ndarray:
        """Boolean [T]: the decision points of one completion.

        Args:
            entropy_T: entropy of the base at each completion token, nats.
            key: the sequence's identity, from which a random gate draws.
        """
        return KINDS[self.kind].mask(self, np.asarray(entropy_T, dtype=np.float32), key)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `Gate(**values)` reads them back."""
        return asdict(self)


def resolve_gate(config: GateConfig, entropies: Sequence[Sequence[float]], seed: int) -> Gate:
    """Fix a gate over the completions it will be used on.

    Args:
        config: what is asked for.
        entropies: entropy at every token of every completion, nats.
        seed: of a random gate.
    """
    entropy_N = np.concatenate([np.asarray(e, dtype=np.float32) for e in entropies])
    return KINDS[config.kind].resolve(config, entropy_N, seed)


def _threshold(config: GateConfig, entropy_N: np.ndarray, seed: int) -> Gate:
    """The threshold that the config names (arXiv 2605.06241, Section 5)."""
    return Gate("threshold", config.tau, _share_above(entropy_N, config.tau))


def _share(config: GateConfig, entropy_N: np.ndarray, seed: int) -> Gate:
    """The threshold exceeded by the share that the config names, or by less where entropies tie."""
    kept = round(config.share * len(entropy_N))
    below_all = -1.0
    tau = float(np.sort(entropy_N)[::-1][kept]) if kept < len(entropy_N) else below_all
    return Gate("share", tau, _share_above(entropy_N, tau))


def _lowest(config: GateConfig, entropy_N: np.ndarray, seed: int) -> Gate:
    """The threshold below which the share lies that the config names."""
    tau = float(np.sort(entropy_N)[min(round(config.share * len(entropy_N)), len(entropy_N) - 1)])
    return Gate("lowest", tau, float((entropy_N < np.float32(tau)).mean()))


def _blind(config: GateConfig, entropy_N: np.ndarray, seed: int) -> Gate:
    """A share of positions of each completion, whatever their entropies."""
    return Gate(config.kind, None, config.share, seed)


def _all(config: GateConfig, entropy_N: np.ndarray, seed: int) -> Gate:
    return Gate("all", None, 1.0)


def _share_above(entropy_N: np.ndarray, tau: float) -> float:
    return float((entropy_N > np.float32(tau)).mean())


def _above(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    return np.asarray(entropy_T > np.float32(gate.tau))


def _below(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    return np.asarray(entropy_T < np.float32(gate.tau))


def _by_chance(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    """Each position with the gate's share as probability, the same draws for the same key."""
    return np.asarray(keyed_random(gate.seed, key).random(len(entropy_T)) < gate.decision_share)


def _first(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    return np.arange(len(entropy_T)) < round(gate.decision_share * len(entropy_T))


def _last(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    return _first(gate, entropy_T, key)[::-1]


def _everywhere(gate: Gate, entropy_T: np.ndarray, key: str) -> np.ndarray:
    return np.ones(len(entropy_T), dtype=bool)


class Kind(NamedTuple):
    """What a kind of gate does.

    Attributes:
        resolve: makes the gate of a config, of the entropies [N] of all completions, and of a seed.
        mask: boolean [T], the decision points of one completion, by its entropies [T] and its key.
        words: of pages, for the positions that it lets through.
    """

    resolve: Callable[[GateConfig, np.ndarray, int], Gate]
    mask: Callable[[Gate, np.ndarray, str], np.ndarray]
    words: str


KINDS: dict[GateKind, Kind] = {
    "threshold": Kind(_threshold, _above, "entropy above {tau:.2f} nats"),
    "share": Kind(_share, _above, "entropy above {tau:.2f} nats"),
    "lowest": Kind(_lowest, _below, "entropy below {tau:.2f} nats"),
    "random": Kind(_blind, _by_chance, "random positions"),
    "first": Kind(_blind, _first, "the first positions"),
    "last": Kind(_blind, _last, "the last positions"),
    "all": Kind(_all, _everywhere, "every position"),
}


def gate_warnings(gates: Sequence[Gate], entropies: Sequence[Sequence[float]]) -> list[str]:
    """Warnings about gates that let nothing through, and so train nothing but the anchor.

    Args:
        gates: all that are trained.
        entropies: entropy at every token of every completion, nats.

    Raises:
        NothingToLearnError: none of them lets anything through.
    """
    closed = [gate for gate in gates if gate.decision_share == 0]
    highest = max(max(entropy_T, default=0.0) for entropy_T in entropies)
    warnings = [_closed(gate, highest) for gate in closed]
    if closed and len(closed) == len(gates):
        raise NothingToLearnError("\n".join([*warnings, "With --reuse, the rollouts of this run serve the next."]))
    return warnings


def _closed(gate: Gate, highest: float) -> str:
    remedy = "the value in signal.gate.sweep (docs/gate.md)."
    nothing = "lets no position through, so it would teach nothing"
    if GATE_KNOBS[gate.kind] == "tau":
        return (
            f"signal.gate.tau = {gate.tau:g} {nothing}: the highest entropy of the rollouts that teach is "
            f"{highest:.3g} nats. Lower it, or {remedy}"
        )
    return f"signal.gate.share of kind '{gate.kind}' {nothing}. Raise it, or {remedy}"
