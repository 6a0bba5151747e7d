"""Teacher-forced scoring: entropies of the base for rollouts that came without them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from reasonmaxxer.models.score import entropy_and_logprob, score_sequences
from reasonmaxxer.rollouts.table import Rollout


def score_rollouts(
    rollouts: Sequence[Rollout], model: Any, on_scored: Callable[[int], None] | None = None
) -> list[Rollout]:
    """Fill in missing `entropy` and `logprob`; a prompt is read once for all its rollouts.

    Args:
        rollouts: any; those that have both are returned as they are.
        model: the base, its adapter off; put into eval mode.
        on_scored: called with the tokens of each sequence scored.
    """
    unscored = [rollout for rollout in rollouts if rollout.entropy is None or rollout.logprob is None]
    scores = iter(score_sequences(entropy_and_logprob, unscored, model, on_scored))

    def scored(rollout: Rollout) -> Rollout:
        entropy_T, logprob_T = next(scores)
        return replace(rollout, entropy=entropy_T.tolist(), logprob=logprob_T.tolist())

    return [scored(r) if r.entropy is None or r.logprob is None else r for r in rollouts]
