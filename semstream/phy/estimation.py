"""Estimating the SNR from pilots: symbols that both ends know."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def pilot_symbols(count: int) -> NDArray[np.complex64]:
    """(count,) pilots of unit power: the four phases of QPSK in turn."""
    return np.exp(0.5j * np.pi * (np.arange(count) % 4 + 0.5)).astype(np.complex64)


def noise_variance_from_pilots(
    received: NDArray[np.complexfloating], pilots: NDArray[np.complexfloating], csi: NDArray[np.complexfloating] | None
) -> float:
    """Noise power σ² from received pilots, y = h·p + n.

    With the channel state known, mean |y − h·p|², which is unbiased with a standard deviation of σ²/√N. Without it (one
    gain over all pilots), the gain is first fitted by least squares, ĥ = <p*, y>/N, and the mean divided by N − 1.

    Parameters
    ----------
    received, pilots
        (N,) complex.
    csi
        (N,) complex gains, or None.

    Returns
    -------
    σ² >= 0, in the units of |y|².

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two pilots where the gain is unknown.
    """
    if received.shape != pilots.shape or received.ndim != 1 or (csi is not None and csi.shape != pilots.shape):
        raise ValueError(f"pilots: expected equal shapes (N,), got {received.shape} and {pilots.shape}")
    if pilots.size < (1 if csi is not None else 2):
        raise ValueError(f"pilots: expected at least {1 if csi is not None else 2}, got {pilots.size}")
    if csi is not None:
        return float(np.mean(np.abs(received - csi * pilots) ** 2))
    energy = float(np.sum(np.abs(pilots) ** 2))
    gain = np.vdot(pilots, received) / energy
    return float(np.sum(np.abs(received - gain * pilots) ** 2) / (pilots.size - 1))


def snr_db_from(noise_variance: float, floor_db: float = -20.0, ceiling_db: float = 60.0) -> float:
    """Es/N0 in dB at unit symbol power and unit mean gain; an estimate of no noise reads as `ceiling_db`."""
    if noise_variance <= 0:
        return ceiling_db
    return min(ceiling_db, max(floor_db, -10 * math.log10(noise_variance)))
