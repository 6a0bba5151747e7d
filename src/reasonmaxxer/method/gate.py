"""Gates: which completion positions are decision points.

A gate is resolved once over all the sequences it will be used on, so that a share of positions
becomes a threshold in nats, and then answers for one sequence at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from reasonmaxxer.config import GateConfig
from reasonmaxxer.errors import UserError


@dataclass(frozen=True)
class Gate:
    """A resolved gate.

    Attributes:
        kind: `threshold`, `share`, `random` or `all`.
        tau: decision points have entropy above this, in nats; None where entropy has no say.
        decision_share: share of completion positions that are decision points.
        seed: of the random gate.
    """

    kind: Literal["threshold", "share", "random", "all"]
    tau: float | None
    decision_share: float
    seed: int = 0

    def decisions(self, entropy_T: Sequence[float], key: str) -> np.ndarray:
        """Boolean [T]: the decision points of one completion.

        Args:
            entropy_T: entropy of the base at each completion token, nats.
            key: the sequence's identity, from which a random gate draws.
        """
        if self.kind == "all":
            return np.ones(len(entropy_T), dtype=bool)
        if self.kind == "random":
            return _draws(self.seed, key, len(entropy_T)) < self.decision_share
        return np.asarray(entropy_T, dtype=np.float32) > np.float32(self.tau)

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
    if config.kind == "all":
        return Gate("all", None, 1.0)
    if config.kind == "random":
        return Gate("random", None, config.share, seed)
    tau = config.tau if config.kind == "threshold" else _threshold(entropy_N, config.share)
    return Gate(config.kind, tau, float((entropy_N > np.float32(tau)).mean()))


def gate_warnings(gates: Sequence[Gate], entropies: Sequence[Sequence[float]]) -> list[str]:
    """What is said of the gates that let nothing through, and so train nothing but the anchor.

    Args:
        gates: all that are trained.
        entropies: entropy at every token of every completion, nats.

    Raises:
        UserError: none of them lets anything through.
    """
    closed = [gate for gate in gates if gate.decision_share == 0]
    highest = max(max(entropy_T, default=0.0) for entropy_T in entropies)
    said = [_closed(gate, highest) for gate in closed]
    if closed and len(closed) == len(gates):
        raise UserError("\n".join([*said, "With --reuse, the rollouts of this run serve the next."]))
    return said


def _closed(gate: Gate, highest: float) -> str:
    lets = "lets no position through, so it would teach nothing"
    if gate.kind == "threshold":
        return (
            f"signal.gate.tau = {gate.tau:g} {lets}: the highest entropy of the rollouts that teach is "
            f"{highest:.3g} nats. Lower it, or the value in signal.gate.sweep (docs/gate.md)."
        )
    return (
        f"signal.gate.share of kind '{gate.kind}' {lets}. Raise it, or the value in signal.gate.sweep (docs/gate.md)."
    )


def _threshold(entropy_N: np.ndarray, share: float) -> float:
    """The value exceeded by `share` of the positions (by fewer where entropies tie)."""
    kept = round(share * len(entropy_N))
    if kept >= len(entropy_N):
        return -1.0  # below every entropy
    return float(np.sort(entropy_N)[::-1][kept])


def _draws(seed: int, key: str, length: int) -> np.ndarray:
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest, "big"))).random(length)
