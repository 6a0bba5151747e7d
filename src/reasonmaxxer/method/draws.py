"""Random draws that depend on a key alone, so that neither order nor company of what is drawn for matters."""

import hashlib

import numpy as np


def keyed_random(seed: int, key: str) -> np.random.Generator:
    """The same draws for the same seed and key."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest, "big")))
