"""Bit allocation: how many bits a feature of each class gets, within a budget of bits a frame.

Source: "Feature-Driven Semantic Communication for Efficient Image Transmission", Entropy 2025, 27, 369 (Theorem 1 and
the fixed and cumulative rules); reverse water-filling after Cover and Thomas, "Elements of Information Theory", 10.3.3.

Class 0 is the most important one. All schemes give whole bits in 0..max_bits and never exceed the budget: real-valued
shares are rounded down, and the bits left over go one at a time to the class that fell furthest short of its share, as
long as one fits.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import AllocationError
from semstream.quantize.knapsack import minimise
from semstream.quantize.lloyd_max import MAX_BITS

__all__ = ["Scheme", "air_distortion", "allocate", "am_gm_db", "fixed_ratios", "reverse_water_filling"]

Scheme = Literal["uniform", "fixed", "cumulative", "proportional", "optimal"]
Float = NDArray[np.float64]
_PAPER_RATIOS = (5.0, 3.0, 2.0)


def allocate(
    scheme: str,
    *,
    sizes: ArrayLike,
    budget_bits: int,
    contribution: ArrayLike | None = None,
    weights_variance: ArrayLike | None = None,
    distortion: ArrayLike | None = None,
    max_bits: int = MAX_BITS,
) -> NDArray[np.uint8]:
    """Bits of each class.

    Parameters
    ----------
    scheme :
        ``uniform``: the same for all, ⌊budget/n⌋; what is left gives the first classes one bit more each, where
        it lasts.
        ``fixed``: in the ratio 5:3:2 (`fixed_ratios`). With three equal classes a sum of 10 gives 5, 3, 2; 8 gives
        4, 2.4, 1.6 → 4, 2, 2; 6 gives 3, 1.8, 1.2 → 3, 2, 1.
        ``cumulative``: b_k = S_k/ΣS_k · B with S_k = Σ_{i≤k} c_i, the classes taken from the least to the most
        important, since the sum grows with k whatever the c are; equal c give 2, 3, 5 of 10 from the least to the most.
        ``proportional``: b_k = B·c_k/Σc.
        ``optimal``: least Σ_k n_k·D_k(b_k), on the measured `distortion` (or the model w·σ²·2^(−2b) where only
        `weights_variance` is given). Left-over bits are used unless they would raise the distortion.
    sizes : (K,) features in each class, whole numbers; empty classes get 0 bits.
    budget_bits : bits a frame may cost, Σ_k sizes_k · b_k at most.
    contribution : (K,) contribution summed over each class (cumulative, proportional). With unequal sizes the mean
        in the class stands for c_k, so that a large class is not taken for an important one.
    weights_variance : (K,) mean of w_j·σ_j² in each class (optimal).
    distortion : (K, >= max_bits + 1) mean weighted distortion D_k(b) a feature, b = 0, 1, ... (optimal).
    max_bits : largest width, 1..12.

    Returns
    -------
    (K,) uint8.

    Raises
    ------
    AllocationError
        Unknown scheme, missing or malformed inputs, or a budget that cannot carry one bit for any class.
    """
    if scheme not in get_args(Scheme):
        raise AllocationError(f"scheme: expected one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    n, budget = _sizes_and_budget(sizes, budget_bits, max_bits)
    if scheme == "uniform":
        return _uniform(n, budget, max_bits)
    if scheme == "optimal":
        return minimise(_distortion(distortion, weights_variance, n.size, max_bits), n, budget)
    if scheme == "fixed":
        shares = fixed_ratios(n.size)
    else:
        c = _vector(contribution, n.size, "contribution", scheme)
        c = np.divide(c, n, out=np.zeros(n.size), where=n > 0)
        c = c if c.sum() > 0 else np.ones(n.size)
        c = c / c.sum()
        shares = np.cumsum(c[::-1])[::-1] if scheme == "cumulative" else c
    return _rounded(shares, n, budget, max_bits)


def fixed_ratios(classes: int) -> Float:
    """The paper's ratio 5:3:2 of its three classes, carried over to any number of classes.

    The three values are taken as a curve over the rank, at the centres 1/6, 1/2, 5/6 of the paper's classes, with
    straight lines between them and beyond: class k of m reads it at (k + 1/2)/m. Two classes get 4.5:2.25, many run
    from 6 to 1.5.
    """
    u = (np.arange(classes) + 0.5) / classes
    high, middle, low = _PAPER_RATIOS
    return middle + np.where(u < 0.5, (high - middle) * 3 * (0.5 - u), (low - middle) * 3 * (u - 0.5))


def reverse_water_filling(weights_variance: ArrayLike, mean_bits: float, sizes: ArrayLike | None = None) -> Float:
    """Real-valued optimal bits [b̄ + ½·log2(w_jσ_j²/GM)]⁺ of Gaussian sources at high rate.

    The geometric mean GM is over the classes that get bits, so that the mean (weighted by `sizes`) is `mean_bits`.

    Parameters
    ----------
    weights_variance : (K,) w_j·σ_j² >= 0.
    mean_bits : bits a feature, >= 0.
    sizes : (K,) features a class; equal if not given.

    Raises
    ------
    AllocationError
        Negative or non-finite inputs.
    """
    v = _vector(weights_variance, None, "weights_variance", "reverse_water_filling")
    n = np.ones(v.size) if sizes is None else _vector(sizes, v.size, "sizes", "reverse_water_filling")
    if not (np.isfinite(mean_bits) and mean_bits >= 0):
        raise AllocationError(f"mean_bits: expected >= 0, got {mean_bits}")
    bits = np.zeros(v.size)
    order = [int(i) for i in np.argsort(-v, kind="stable") if v[i] > 0 and n[i] > 0]
    if not order or mean_bits == 0:
        return bits
    log_v, size = 0.5 * np.log2(v[order]), n[order]
    # With the strongest i classes active, the water level is (Σ n·½log2 v − total)/Σ n; the right i is the largest
    # whose weakest class stays above it.
    level = (np.cumsum(size * log_v) - mean_bits * n.sum()) / np.cumsum(size)
    above = log_v > level
    above[0] = True  # it is, by a mean that may be lost in rounding
    active = int(np.flatnonzero(above).max()) + 1
    bits[order[:active]] = np.maximum(log_v[:active] - level[active - 1], 0)
    return bits


def am_gm_db(weights_variance: ArrayLike, sizes: ArrayLike | None = None) -> float:
    """10·log10(AM/GM) of w_jσ_j²: the most that any allocation can win over a uniform one, in dB (inf if one is 0)."""
    v = _vector(weights_variance, None, "weights_variance", "am_gm_db")
    n = np.ones(v.size) if sizes is None else _vector(sizes, v.size, "sizes", "am_gm_db")
    v, n = v[n > 0], n[n > 0] / n.sum()
    if not (v > 0).all():
        return float("inf") if (v > 0).any() else 0.0
    return float(10 * (np.log10((n * v).sum()) - (n * np.log10(v)).sum()))


def air_distortion(
    variance: ArrayLike, distortion: ArrayLike, weight: ArrayLike, noise_variance: float, centroids: bool = True
) -> Float:
    """Distortion left after quantization, the channel and the receiver's Wiener gain, for `allocate` on the air.

    w·p·ν'/(p + ν') for b >= 1, and w·p at b = 0, where the feature is not sent; ν' is `received_noise`. At ν = 0
    centroids leave w·D(b). That coarse levels also amplify the channel's noise moves bits to weak features: leaving it
    out cost 0.06 dB at 4 bits and 13 dB.

    Parameters
    ----------
    variance : (K,) p = E[s²].
    distortion : (K, B) unweighted D_k(b), b = 0, 1, ...
    weight : (K,) w.
    noise_variance : ν of a feature after equalisation, in feature units, >= 0.
    centroids : whether the quantizer's levels are centroids (Lloyd-Max).

    Returns
    -------
    (K, B) float64.
    """
    error = received_noise(variance, distortion, noise_variance, centroids)
    p = _vector(variance, None, "variance", "air_distortion")[:, None]
    w = _vector(weight, p.size, "weight", "air_distortion")[:, None]
    left = w * p * np.divide(error, p + error, out=np.zeros_like(error), where=p + error > 0)
    left[:, 0] = (w * p)[:, 0]
    return left


def received_noise(variance: ArrayLike, distortion: ArrayLike, noise_variance: float, centroids: bool = True) -> Float:
    """Noise of a linear dequantizer, quantization and channel.

    Levels that are their cells' centroids have the gain g = 1 − D(b)/p, which it divides by (see
    `semstream.quantize.dequantize`), so that ν' = (D(b)·g + ν)/g²; otherwise ν' = D(b) + ν.

    Parameters
    ----------
    variance, distortion, noise_variance, centroids
        As for `air_distortion`.

    Returns
    -------
    (K, B) float64.
    """
    p = _vector(variance, None, "variance", "air_distortion")[:, None]
    d = np.asarray(distortion, np.float64)
    if d.ndim != 2 or d.shape[0] != p.size or not np.isfinite(d).all() or (d < 0).any():
        raise AllocationError(f"distortion: expected finite (K={p.size}, bits) >= 0, got shape {d.shape}")
    if not noise_variance >= 0:
        raise AllocationError(f"noise_variance: expected >= 0, got {noise_variance}")
    gain = 1 - np.minimum(d / np.maximum(p, 1e-30), 1 - 1e-3) if centroids else np.ones_like(d)
    return np.minimum((d * gain + noise_variance) / gain**2, 1e30)


def _uniform(n: NDArray[np.int64], budget: int, max_bits: int) -> NDArray[np.uint8]:
    base = min(max_bits, budget // int(n.sum()))
    bits = np.where(n > 0, base, 0).astype(np.uint8)
    left = budget - base * int(n.sum())
    for k in np.flatnonzero(n) if base < max_bits else ():
        if n[k] <= left:
            bits[k] += 1
            left -= int(n[k])
    return bits


def _rounded(shares: Float, n: NDArray[np.int64], budget: int, max_bits: int) -> NDArray[np.uint8]:
    """Whole bits nearest to b_k ∝ shares_k within the budget: floors, then the largest shortfall first."""
    total = float((shares * n).sum())
    wanted = shares * (budget / total) if total > 0 else np.full(n.size, budget / n.sum())
    bits = np.where(n > 0, np.clip(np.floor(wanted + 1e-9), 0, max_bits), 0).astype(np.int64)
    left = budget - int((bits * n).sum())
    while True:
        fits = (n > 0) & (bits < max_bits) & (n <= left)
        if not fits.any():
            return bits.astype(np.uint8)
        k = int(
            np.argmax(np.where(fits, np.round(wanted - bits, 9), -np.inf))
        )  # the first of equals: the more important
        bits[k] += 1
        left -= int(n[k])


def _sizes_and_budget(sizes: ArrayLike, budget_bits: int, max_bits: int) -> tuple[NDArray[np.int64], int]:
    n = np.asarray(sizes)
    if n.ndim != 1 or n.size == 0 or n.dtype.kind not in "iu" or (n < 0).any() or not n.any():
        raise AllocationError(f"sizes: expected (K,) whole numbers >= 0, not all 0, got {n.dtype} {n.shape}")
    if not 1 <= max_bits <= MAX_BITS:
        raise AllocationError(f"max_bits: expected 1..{MAX_BITS}, got {max_bits}")
    if isinstance(budget_bits, bool) or int(budget_bits) != budget_bits:
        raise AllocationError(f"budget_bits: expected a whole number of bits, got {budget_bits!r}")
    smallest = int(n[n > 0].min())
    if budget_bits < smallest:
        raise AllocationError(
            f"budget_bits: {budget_bits} bits cannot be met: one bit a feature of the smallest class takes {smallest}; "
            f"raise the budget or use more classes"
        )
    return n.astype(np.int64), int(budget_bits)


def _vector(values: ArrayLike | None, size: int | None, name: str, scheme: str) -> Float:
    if values is None:
        raise AllocationError(f"{name}: the scheme {scheme!r} needs it, got nothing")
    v = np.asarray(values, np.float64)
    if v.ndim != 1 or v.size == 0 or (size is not None and v.size != size) or not np.isfinite(v).all() or (v < 0).any():
        raise AllocationError(
            f"{name}: expected ({'K' if size is None else size},) finite and >= 0, got shape {v.shape}"
        )
    return v


def _distortion(measured: ArrayLike | None, weights_variance: ArrayLike | None, classes: int, max_bits: int) -> Float:
    if measured is None:
        if weights_variance is None:
            raise AllocationError("distortion: the scheme 'optimal' needs it, or weights_variance for a model")
        v = _vector(weights_variance, classes, "weights_variance", "optimal")
        return v[:, None] * 4.0 ** -np.arange(max_bits + 1)
    d = np.asarray(measured, np.float64)
    if d.ndim != 2 or d.shape[0] != classes or d.shape[1] <= max_bits or not np.isfinite(d).all():
        raise AllocationError(f"distortion: expected finite ({classes}, {max_bits + 1} or more), got shape {d.shape}")
    return d[:, : max_bits + 1]
