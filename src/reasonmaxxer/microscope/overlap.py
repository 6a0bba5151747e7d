"""Whether two models tuned from one base make the same edits, held against chance.

On the base's own greedy answers a model edits a position where its choice is not the base's. Two sets of
edits overlap by chance too, the more so as both sit where the base hesitates: one chance level places the
edits of A anywhere in the same texts, the other at positions of like entropy. There, A takes its most
likely token that is not the base's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reasonmaxxer.config import MicroscopeConfig
from reasonmaxxer.measure.metrics import percentile_interval
from reasonmaxxer.microscope.joint import JointScores, score_joint
from reasonmaxxer.microscope.pair import Pair
from reasonmaxxer.microscope.policies import ENTROPY_BINS
from reasonmaxxer.microscope.summary import Sums
from reasonmaxxer.models.pieces import token_pieces
from reasonmaxxer.models.states import completion_states
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
    with pairs[0].using("base") as model:
        base = completion_states(rollouts, model, on_read)
    tuned = []
    for pair in pairs:
        with pair.using("tuned") as model:
            tuned.append(completion_states(rollouts, model, on_read))
    heads = (pairs[0].head("base"), *(pair.head("tuned") for pair in pairs))
    ids = [torch.tensor(rollout.completion_ids) for rollout in rollouts]
    states = [torch.cat(own) for own in (base, *tuned)]
    a, b, ab = (
        score_joint(states[x], states[y], (heads[x], heads[y]), torch.cat(ids)) for x, y in ((0, 1), (0, 2), (1, 2))
    )
    sizes = [len(own) for own in ids]
    right = [rollout.reward == 1 for rollout in rollouts]
    return Trio(
        a,
        b,
        ab,
        np.repeat(np.arange(len(rollouts)), sizes),
        np.repeat(right, sizes),
        _classes(a.base_top_NK[:, 0], tokenizer),
    )


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
    edits_a, edits_b = (scores.forward_rank_N > 1 for scores in (trio.a, trio.b))
    same = _same_token(trio)
    return {
        "problems": int(trio.problem_N.max()) + 1,
        "positions": len(trio.problem_N),
        "edits": {
            "a": int(edits_a.sum()),
            "b": int(edits_b.sum()),
            "both": int((edits_a & edits_b).sum()),
            "same_token": int((edits_a & edits_b & same).sum()),
        },
        **overlap_of(trio, np.ones_like(edits_a), config),
        "chance": {
            "random": chance(trio, np.zeros(len(edits_a), dtype=np.int64), config),
            "entropy": chance(trio, np.searchsorted(ENTROPY_BINS, trio.a.base_entropy_N), config),
        },
        "jsd": _divergences(trio, config),
        "by_class": {
            name: overlap_of(trio, trio.class_N == i, config)
            for i, name in enumerate(TOKEN_CLASSES)
            if ((trio.class_N == i) & (edits_a | edits_b)).any()
        },
        "by_outcome": {
            name: overlap_of(trio, of_N, config)
            for name, of_N in (("correct", trio.right_N), ("wrong", ~trio.right_N))
            if of_N.any()
        },
    }


def overlap_of(trio: Trio, of_N: np.ndarray, config: MicroscopeConfig) -> dict[str, Any]:
    """Jaccard index of the edited positions, and the share of B's edits that A makes with the same token.

    Args:
        trio: what the three models think.
        of_N: bool, positions that count.
        config: of the intervals.
    """
    a, b = (scores.forward_rank_N > 1 for scores in (trio.a, trio.b))
    sums = Sums(
        trio.problem_N,
        config,
        both=a & b & of_N,
        either=(a | b) & of_N,
        b=b & of_N,
        same=a & b & of_N & _same_token(trio),
    )
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
    a, b = (scores.forward_rank_N > 1 for scores in (trio.a, trio.b))
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


def _same_token(trio: Trio) -> np.ndarray:
    """Where A and B choose the same token."""
    chosen: np.ndarray = trio.ab.forward_rank_N == 1
    return chosen


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
