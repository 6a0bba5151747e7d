"""How much better or worse a rollout was than the rest of its group."""

from collections.abc import Callable, Sequence

import numpy as np

from reasonmaxxer.config import AdvantageName, SignalConfig

EPSILON = 1e-6


def group_advantages(reward_K: np.ndarray, clip: float) -> np.ndarray:
    """`(r - mean) / (std + eps)`, clipped, float64 [K]; zeros where all agree (arXiv 2605.06241, Eq. 5)."""
    return np.asarray(np.clip((reward_K - reward_K.mean()) / (reward_K.std() + EPSILON), -clip, clip))


def boltzmann_weights(reward_K: np.ndarray, temperature: float) -> np.ndarray:
    """`exp(r / temperature)` over its mean, float64 [K] (arXiv 2605.02469): with these in place of advantages, what
    is learnt is the base's distribution tilted by the reward, which maximises reward less KL to the base."""
    weight_K = np.exp((reward_K - reward_K.max()) / temperature)
    return np.asarray(weight_K / weight_K.mean())


def advantages(rewards: Sequence[float], config: SignalConfig, random: np.random.Generator) -> np.ndarray:
    """Advantage of each rollout of a problem.

    Args:
        rewards: one a rollout, the whole group, before anything is trimmed.
        config: kind of advantage, clip, and weight of negative ones.
        random: draws of the controls.

    Returns:
        float64 [rollouts].
    """
    reward_K, clip = np.asarray(rewards, dtype=np.float64), config.advantage_clip
    kinds: dict[AdvantageName, Callable[[], np.ndarray]] = {
        "group": lambda: group_advantages(reward_K, clip),
        "boltzmann": lambda: boltzmann_weights(reward_K, config.boltzmann_temperature),
        "shuffled": lambda: random.permutation(group_advantages(reward_K, clip)),
        "random": lambda: group_advantages(random.integers(0, 2, len(reward_K)).astype(np.float64), clip),
    }
    advantage_K = kinds[config.advantage]()
    return np.where(advantage_K < 0, config.negative_weight * advantage_K, advantage_K)
