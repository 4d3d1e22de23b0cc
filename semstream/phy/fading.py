"""Flat fading gains of mean power one, with a coherence in symbols."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Coherence = int | Literal["symbol", "frame"]


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.complex64]:
    """CN(0, 1) samples: circularly symmetric, E|z|^2 = 1."""
    pairs = rng.standard_normal((*shape, 2), dtype=np.float32)
    pairs *= np.float32(math.sqrt(0.5))
    return pairs.view(np.complex64)[..., 0]


def rician_parts(rician_k: float) -> tuple[float, float]:
    """Amplitudes of the line-of-sight and the scattered part, ``(sqrt(K/(K+1)), sqrt(1/(K+1)))``; K linear."""
    if math.isnan(rician_k) or rician_k < 0:
        raise ValueError(f"rician_k: expected a linear power ratio >= 0, got {rician_k}; the paper has 3")
    if math.isinf(rician_k):
        return 1.0, 0.0
    return math.sqrt(rician_k / (rician_k + 1.0)), math.sqrt(1.0 / (rician_k + 1.0))


def block_length(count: int, coherence: Coherence) -> int:
    """Number of symbols over which one fading gain holds, at least 1."""
    if coherence == "symbol":
        return 1
    if coherence == "frame":
        return max(count, 1)
    if isinstance(coherence, bool) or not isinstance(coherence, int) or coherence < 1:
        raise ValueError(f"coherence: expected 'symbol', 'frame' or a number of symbols >= 1, got {coherence!r}")
    return coherence


def fading_gains(
    count: int, rng: np.random.Generator, rician_k: float = 0.0, coherence: Coherence = "symbol"
) -> NDArray[np.complex64]:
    """Block-fading gains h with E|h|^2 = 1.

    h = sqrt(K/(K+1)) + sqrt(1/(K+1)) z, z ~ CN(0, 1): Rayleigh for K = 0, Rician above, independent from one coherence
    block to the next and constant within it.

    Parameters
    ----------
    count : int
        Number of symbols N.
    rng : numpy.random.Generator
    rician_k : float
        Line-of-sight to scattered power, linear (not dB).
    coherence : "symbol", "frame" or int
        Length of a block.

    Returns
    -------
    ndarray (N,), complex64
    """
    line_of_sight, scattered = rician_parts(rician_k)
    length = block_length(count, coherence)
    blocks = complex_normal(rng, (-(-count // length),))
    gains = np.float32(scattered) * blocks + np.float32(line_of_sight)
    return np.repeat(gains, length)[:count]
