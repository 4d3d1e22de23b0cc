"""The linear path: the best linear analog code for a patch, from which the network starts.

A Gaussian source sent uncoded over a Gaussian channel with power allocated optimally over its principal components is
close to what any analog code of the same bandwidth can do. The Swin codec therefore runs beside it and starts at zero,
so that training begins where linear coding ends (Goblick 1965; Lee and Petersen, "Optimal linear coding for vector
channels", IEEE Trans. Commun. 1976).

    x ── patches ── W_e = diag(A)·KLT ──(+ Swin)── s ~~ channel ~~ ŝ ── Wiener ── W_d = KLTᵀ·diag(1/A) ──(+ Swin)── x̂

Patches of one site (4×4 pixels) are the start; `LappedLinear` lets each feature see, and each site be written by, the
sites around it as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LinearCode:
    """A linear analog code for patches of d values.

    Attributes
    ----------
    mean
        (d,) mean of the training patches.
    analysis
        (C, d) matrix from a centred patch to C features of mean power 1 over channels.
    synthesis
        (d, C) matrix from features, each already weighted by its Wiener gain, back to a centred patch.
    power
        (C,) mean power p_j of each feature, Σ p_j = C.
    """

    mean: NDArray[np.float32]
    analysis: NDArray[np.float32]
    synthesis: NDArray[np.float32]
    power: NDArray[np.float32]


def analog_power(variances: NDArray[np.float64], snr: float, floor: float = 1e-3) -> NDArray[np.float64]:
    """Allocate power over parallel Gaussian components sent uncoded, for the least mean squared error.

    Minimises Σ λ_j / (1 + g·p_j) under Σ p_j = C: p_j = max(ε, √(λ_j / (ν·g)) − 1/g) with ν by bisection.

    Parameters
    ----------
    variances
        (C,) component variances λ_j.
    snr
        Channel SNR g (linear) at mean power 1.
    floor
        Least power ε, so that no feature starts dead.

    Returns
    -------
    (C,) powers with mean 1.
    """
    count = len(variances)

    def powers(root: float) -> NDArray[np.float64]:
        return np.maximum(floor, root * np.sqrt(variances) - 1 / snr)

    low, high = 0.0, 1.0
    while powers(high).sum() < count:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if powers(middle).sum() < count else (low, middle)
    result = powers(high)
    return np.asarray(result * (count / result.sum()), dtype=np.float64)


def fit_linear_code(patches: NDArray[np.float32], channels: int, snr_db: float = 10.0) -> LinearCode:
    """Fit the linear code to training patches.

    Parameters
    ----------
    patches
        (N, d) patches, flattened, values in [0, 1]; N of some thousands or more.
    channels
        Features a patch, C. Beyond d they are given the least power.
    snr_db
        Es/N0 in dB that the power allocation is best for.
    """
    mean = patches.mean(axis=0, dtype=np.float64)
    covariance = np.cov(patches.astype(np.float64), rowvar=False)
    variances, basis = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1][:channels]
    variances, basis = np.maximum(variances[order], 1e-9), basis[:, order]
    kept = len(order)
    power = analog_power(variances, 10 ** (snr_db / 10))
    gain = np.sqrt(power / variances)
    # Features beyond d carry nothing at first; the Swin path may use them.
    analysis = np.zeros((channels, patches.shape[1]))
    synthesis = np.zeros((patches.shape[1], channels))
    analysis[:kept] = gain[:, None] * basis.T
    synthesis[:, :kept] = basis / gain
    full_power = np.full(channels, 1e-3)
    full_power[:kept] = power
    return LinearCode(*(np.ascontiguousarray(a, dtype=np.float32) for a in (mean, analysis, synthesis, full_power)))
