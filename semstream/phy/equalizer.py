"""Equalisation with perfect channel knowledge."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOISE_CAP = 1e4
"""Noise variance of a value about which nothing is known (unit-power features); also used for values not sent."""


class Equalized(NamedTuple):
    """One entry a symbol; see `mmse`."""

    mmse: NDArray[np.complex64]
    unbiased: NDArray[np.complex64]
    noise_variance: NDArray[np.float32]


def mmse(
    received: NDArray[np.complexfloating],
    csi: NDArray[np.complexfloating],
    noise_variance: NDArray[np.floating],
) -> Equalized:
    """MMSE equaliser for unit-power symbols, y = h s + n.

    Parameters
    ----------
    received : ndarray (N,), complex
        y.
    csi : ndarray (N,), complex
        h, the true gain of each symbol.
    noise_variance : ndarray (N,), real, >= 0
        sigma^2, variance of the complex noise n.

    Returns
    -------
    Equalized
        ``mmse`` = conj(h) y / (|h|^2 + sigma^2), of least mean squared error but shrunk towards zero;
        ``unbiased`` = y / h = s + noise, the same estimate without the shrinkage, for receivers that know the noise;
        ``noise_variance`` = sigma^2 / |h|^2, the variance of that noise, at most NOISE_CAP. A symbol in so deep a fade
        that the cap is reached tells nothing: its estimates are 0.

    Raises
    ------
    ValueError
        If the three arrays differ in shape.
    """
    if not received.shape == csi.shape == noise_variance.shape:
        raise ValueError(
            f"received, csi, noise_variance: expected one shape, got {received.shape}, {csi.shape}, "
            f"{noise_variance.shape}; they must come from the same frame"
        )
    gain = csi.real.astype(np.float64) ** 2 + csi.imag.astype(np.float64) ** 2
    variance = noise_variance.astype(np.float64)
    known = (gain > 0) & (variance < NOISE_CAP * gain)
    safe = np.where(known, gain, 1.0)
    matched = np.where(known, np.conj(csi) * received, 0.0)
    return Equalized(
        (matched / (safe + variance)).astype(np.complex64),
        (matched / safe).astype(np.complex64),
        np.where(known, variance / safe, NOISE_CAP).astype(np.float32),
    )
