"""How much better or worse a rollout was than the rest of its group."""

from collections.abc import Sequence

import numpy as np

EPSILON = 1e-6


def advantages(rewards: Sequence[float], clip: float) -> np.ndarray:
    """`(r - mean) / (std + eps)` over a problem's whole group, clipped (arXiv 2605.06241, Eq. 5).

    Args:
        rewards: one a rollout, the whole group, before anything is trimmed.
        clip: bound of the absolute value.

    Returns:
        float64 [rollouts]; zeros where all rewards agree.
    """
    r = np.asarray(rewards, dtype=np.float64)
    return np.asarray(np.clip((r - r.mean()) / (r.std() + EPSILON), -clip, clip))
