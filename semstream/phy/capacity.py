"""Bits that an ideal code carries over a channel: its capacity (C. E. Shannon, 1948), ergodic where it fades."""

from __future__ import annotations

import math

import numpy as np

from semstream.phy.channel import composite_noise_power

RICIAN_K = 3.0


def bits_per_use(channel: str, snr_db: float) -> float:
    """Capacity in bits a complex channel use.

    AWGN: log2(1 + SNR). Fading: E log2(1 + |h|²·SNR) with the receiver knowing h; the composite channel also swings
    its noise power, over which the mean is taken (its OFDM guard is not counted, as it is not for our link).

    Raises
    ------
    ValueError
        For another channel.
    """
    if math.isinf(snr_db):
        return math.inf
    if channel == "awgn":
        return math.log2(1 + 10 ** (snr_db / 10))
    if channel in ("rayleigh", "rician"):
        return ergodic(10 ** (snr_db / 10), 0.0 if channel == "rayleigh" else RICIAN_K)
    if channel == "composite":
        times = np.arange(0, 100, 2.0)
        return float(np.mean([ergodic(1 / composite_noise_power(snr_db, float(t)), RICIAN_K) for t in times]))
    raise ValueError(f"channel {channel!r}: expected awgn, rayleigh, rician or composite")


def ergodic(snr: float, rician_k: float) -> float:
    """E log2(1 + |h|²·snr) of Rician fading (K = 0: Rayleigh), E|h|² = 1, by numerical integration.

    |h|² is noncentral chi-square with two degrees of freedom, 2(1 + K)|h|² ~ χ'²(2, 2K).
    """
    from scipy.integrate import quad
    from scipy.stats import expon, ncx2

    if rician_k == 0:
        density = expon.pdf
        upper = 40.0
    else:

        def density(g: float) -> float:
            return float(2 * (1 + rician_k) * ncx2.pdf(2 * (1 + rician_k) * g, 2, 2 * rician_k))

        upper = 15.0
    value, _ = quad(lambda g: density(g) * math.log2(1 + g * snr), 0, upper, limit=200)
    return float(value)
