"""Whether two models tuned from one base make the same edits, held against chance.

On the base's own greedy answers a model edits a position where its choice is not the base's. Two sets of
edits overlap by chance too, the more so as both sit where the base hesitates: one chance level places the
edits of A anywhere in the same texts, the other at positions of like entropy. There, A takes its most
likely token that is not the base's choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import percentile_interval
from reasonmaxxer.microscope.diff import completion_ids, read_states
from reasonmaxxer.microscope.joint import JointScores, score_joint
from reasonmaxxer.microscope.pair import Arm, Pair
from reasonmaxxer.microscope.policies import ENTROPY_BINS
from reasonmaxxer.microscope.summary import Sums
from reasonmaxxer.models.pieces import token_pieces
from reasonmaxxer.rollouts.table import Rollout

PLACINGS = 1000
"""Random placements behind each chance level."""
DECISION = 0.8
"""Positions with more entropy than this, nats, are decision points, as in the default recipe."""
TOKEN_CLASSES = ("number", "operator", "word", "space", "special")


@dataclass(frozen=True)
class Trio:
    """A base and two tuned models on the same N positions.

    Attributes:
        a: base and A.
        b: base and B.
        ab: A and B; its base is A.
        problem_N: number of the problem of each position.
        right_N: whether the text is a right answer.
        class_N: index into `TOKEN_CLASSES` of the base's choice.
    """

    a: JointScores
    b: JointScores
    ab: JointScores
    problem_N: np.ndarray
    right_N: np.ndarray
    class_N: np.ndarray

    @cached_property
    def edits(self) -> tuple[np.ndarray, np.ndarray]:
        """Where A and where B choose another token than the base."""
        return self.a.forward_rank_N > 1, self.b.forward_rank_N > 1

    @cached_property
    def alike(self) -> np.ndarray:
        """Where A and B choose the same token."""
        alike: np.ndarray = self.ab.forward_rank_N == 1
        return alike


def read_trio(
    pairs: tuple[Pair, Pair], rollouts: Sequence[Rollout], tokenizer: Any, on_read: Callable[[int], None] | None = None
) -> Trio:
    """Read the base's answers under all three models, each once.

    Args:
        pairs: base and A, base and B; one base.
        rollouts: the base's greedy answers.
        tokenizer: of all three.
        on_read: called with the tokens of each text, once a model.
    """
    arms: list[tuple[Pair, Arm]] = [(pairs[0], "base"), (pairs[0], "tuned"), (pairs[1], "tuned")]
    states = [read_states(pair, arm, rollouts, on_read) for pair, arm in arms]
    heads, ids_N = [pair.head(arm) for pair, arm in arms], completion_ids(rollouts)
    a, b, ab = (score_joint(states[x], states[y], (heads[x], heads[y]), ids_N) for x, y in ((0, 1), (0, 2), (1, 2)))
    sizes = [len(rollout.completion_ids) for rollout in rollouts]
    right_N = np.repeat([rollout.reward == 1 for rollout in rollouts], sizes)
    return Trio(a, b, ab, np.repeat(np.arange(len(sizes)), sizes), right_N, _classes(a.base_top_NK[:, 0], tokenizer))


def _classes(ids_N: np.ndarray, tokenizer: Any) -> np.ndarray:
    """Index into `TOKEN_CLASSES` of each token."""
    own, place_N = np.unique(ids_N, return_inverse=True)
    pieces = token_pieces(tokenizer, own.tolist())
    return np.array([token_class(piece.piece, piece.special) for piece in pieces])[place_N]


def token_class(piece: bytes, special: bool) -> int:
    """Index into `TOKEN_CLASSES` of a token: by its first letter, digit or sign."""
    if special:
        return TOKEN_CLASSES.index("special")
    text = piece.decode("utf-8", errors="replace").strip()
    if not text:
        return TOKEN_CLASSES.index("space")
    first = next((c for c in text if c.isalnum()), "")
    kind = "number" if first.isdigit() else "word" if first else "operator"
    return TOKEN_CLASSES.index(kind)


def summarise_overlap(trio: Trio, config: MicroscopeConfig) -> dict[str, Any]:
    """Every figure of an overlap; docs/microscope.md explains each.

    Args:
        trio: what the three models think.
        config: of the intervals.
    """
    a, b = trio.edits
    outcomes = {"correct": trio.right_N, "wrong": ~trio.right_N}
    classes = {name: trio.class_N == i for i, name in enumerate(TOKEN_CLASSES)}
    return {
        "problems": int(trio.problem_N.max()) + 1,
        "positions": len(trio.problem_N),
        "edits": {
            "a": int(a.sum()),
            "b": int(b.sum()),
            "both": int((a & b).sum()),
            "same_token": int((a & b & trio.alike).sum()),
        },
        **overlap_of(trio, np.ones_like(a), config),
        "chance": {
            "random": chance(trio, np.zeros(len(a), dtype=np.int64), config),
            "entropy": chance(trio, np.searchsorted(ENTROPY_BINS, trio.a.base_entropy_N), config),
        },
        "jsd": _divergences(trio, config),
        "by_class": {n: overlap_of(trio, of_N, config) for n, of_N in classes.items() if (of_N & (a | b)).any()},
        "by_outcome": {n: overlap_of(trio, of_N, config) for n, of_N in outcomes.items() if of_N.any()},
    }


def overlap_of(trio: Trio, of_N: np.ndarray, config: MicroscopeConfig) -> dict[str, Any]:
    """Jaccard index of the edited positions, and the share of B's edits that A makes with the same token.

    Args:
        trio: what the three models think.
        of_N: bool, positions that count.
        config: of the intervals.
    """
    a, b = trio.edits
    both = a & b & of_N
    sums = Sums(trio.problem_N, config, both=both, either=(a | b) & of_N, b=b & of_N, same=both & trio.alike)
    return {
        "positions": int(of_N.sum()),
        "jaccard": sums.ratio("both", "either"),
        "same_token_share": sums.ratio("same", "b"),
    }


def chance(trio: Trio, stratum_N: np.ndarray, config: MicroscopeConfig) -> dict[str, Any]:
    """Both figures where A's edits are placed at random within each stratum.

    Args:
        trio: what the three models think.
        stratum_N: positions of one number exchange their edits.
        config: seed and level of the range.

    Returns:
        Mean over the placements, and the range that holds the level's share of them.
    """
    a, b = trio.edits
    would = _would_say(trio) == trio.b.tuned_top_NK[:, 0]
    generator = np.random.Generator(np.random.Philox(config.seed))
    strata = [np.flatnonzero(stratum_N == s) for s in np.unique(stratum_N)]
    found = []
    for _ in range(PLACINGS):
        placed = np.zeros_like(a)
        for members in strata:
            placed[generator.permutation(members)[: int(a[members].sum())]] = True
        both = placed & b
        either = (placed | b).sum()
        found.append((both.sum() / max(either, 1), (both & would).sum() / max(b.sum(), 1)))
    jaccard, same = np.array(found).T
    return {
        "jaccard": percentile_interval(jaccard.mean(), jaccard, config.confidence),
        "same_token_share": percentile_interval(same.mean(), same, config.confidence),
    }


def _would_say(trio: Trio) -> np.ndarray:
    """A's most likely token that is not the base's choice, [N]."""
    first, second = trio.a.tuned_top_NK[:, 0], trio.a.tuned_top_NK[:, 1]
    return np.where(first == trio.a.base_top_NK[:, 0], second, first)


def _divergences(trio: Trio, config: MicroscopeConfig) -> dict[str, Any]:
    """Mean Jensen-Shannon divergences, nats, at decision points and at all positions."""
    decision = trio.a.base_entropy_N > DECISION
    jsd = {"base_a": trio.a.jsd_N, "base_b": trio.b.jsd_N, "a_b": trio.ab.jsd_N}
    sums = Sums(
        trio.problem_N,
        config,
        decision=decision,
        positions=np.ones(len(decision)),
        **{f"{name}_decision": values * decision for name, values in jsd.items()},
        **jsd,
    )
    return {
        "tau": DECISION,
        "decision_points": int(decision.sum()),
        **{name: sums.ratio(f"{name}_decision", "decision") for name in jsd},
        "everywhere": {name: sums.ratio(name, "positions") for name in jsd},
    }
