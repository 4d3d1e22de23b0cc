"""From noisy levels back to features: hard, linear and soft dequantization.

    observation = level + n, n ~ N(0, ν)  --hard | linear | soft-->  estimate, noise variance ν'

All three return what the noise-aware decoder takes: an *unshrunk* ŝ = s + noise and the variance ν' of that noise, so
that the Wiener estimate p/(p + ν')·ŝ, p = E[s²], is as good as ŝ allows. A feature at 0 bits was not sent: ŝ = 0,
ν' = `NOISE_CAP`.

A quantizer's level q is itself shrunk: q = g·s + e with e uncorrelated to s and g = E[q·s]/p (for Lloyd-Max
g = 1 − D/p: 0.64 at 1 bit, 0.99 at 4), and var e = E[q²] − g²p. Taking q + n for s + noise would shrink it twice, which
costs more than 1 dB at 2 bits, so ``hard`` and ``linear`` divide by g.

* ``hard``: the nearest level / g; ν' = (var e + expected squared error of a wrong decision)/g².
* ``linear``: the observation / g; ν' = (var e + ν)/g².
* ``soft``: the posterior mean m and variance v of the feature given the observation, over all levels, in extrinsic form
  1/ν' = 1/v − 1/p, ŝ = m·(p + ν')/p, of which the Wiener estimate is m again, whatever ν'. Where v nears or passes p
  (an outlier in a wide cell) ν' stops at `SOFT_CAP`·p, which keeps ŝ in the range of half precision.

From `LINEAR_FROM_BITS` on, soft would weigh hundreds of levels to find what linear says already, as levels are denser
than the noise is wide. There it is linear, and hard where the noise is narrower than a quarter of the spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import QuantizeError
from semstream.quantize.lloyd_max import MAX_BITS
from semstream.quantize.quantizer import Quantizer, checked_bits, checked_features
from semstream.quantize.recent import Recent

__all__ = ["LINEAR_FROM_BITS", "NOISE_CAP", "SOFT_CAP", "Dequantizer", "Mode", "dequantize"]

Mode = Literal["hard", "linear", "soft"]
Float32 = NDArray[np.float32]
Estimate = tuple[Float32, Float32]

NOISE_CAP = 1e4
"""Noise variance of a feature of which nothing is known."""
LINEAR_FROM_BITS = 7
SOFT_CAP = np.float32(100)
_LEAST_NOISE = 1e-12
_CHUNK = 2**18  # weights (levels x features) in memory at a time: 1 MiB
_LEAST_GAIN = 1e-3


def dequantize(
    observation: ArrayLike,
    noise_variance: ArrayLike,
    quantizer: Quantizer,
    bits: ArrayLike,
    prior_variance: ArrayLike,
    mode: str = "hard",
) -> Estimate:
    """Estimate features from noisy levels; see the module's text for the modes.

    Parameters
    ----------
    observation : (..., C) equalised, unshrunk levels.
    noise_variance : ν >= 0 of each observation in feature units, broadcast to its shape; 0 is error-free.
    quantizer : what the transmitter quantized with.
    bits : (C,) or the observation's shape, 0..12.
    prior_variance : (C,) p = E[s²] of each channel.
    mode : ``hard``, ``linear`` or ``soft``.

    Returns
    -------
    estimate, noise_variance : float32 of the observation's shape.

    Raises
    ------
    QuantizeError
        NaN or infinite observations, a negative noise variance, shapes that do not fit, an unknown mode.

    Notes
    -----
    A receiver that works frame after frame keeps a `Dequantizer`, whose tables are built once.
    """
    return Dequantizer(quantizer, prior_variance, mode)(observation, noise_variance, bits)


@dataclass(frozen=True)
class _Table:
    """The levels of one channel and width, (L,) float32 each, in the order of the codes."""

    levels: Float32
    log_probability: Float32
    moments: Float32  # (3, L): centroid, centroid², variance within the cell
    spacing: Float32
    gain: float  # g
    excess: float  # var e


@dataclass(frozen=True)
class _Flat:
    """Tables of some widths side by side: (13, C) each, and the spacing of all levels in one row."""

    starts: NDArray[np.int64]
    spacing: Float32
    gain: Float32
    excess: Float32


class Dequantizer:
    """`dequantize` with its tables kept: call it with (observation, noise_variance, bits) of each frame."""

    def __init__(self, quantizer: Quantizer, prior_variance: ArrayLike, mode: str = "hard") -> None:
        if mode not in get_args(Mode):
            raise QuantizeError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
        p = np.asarray(prior_variance, np.float32)
        if p.shape != (quantizer.channels,) or not np.isfinite(p).all() or (p < 0).any():
            raise QuantizeError(f"prior_variance: expected ({quantizer.channels},) finite and >= 0, got {p.shape}")
        self.quantizer = quantizer
        self.mode = mode
        self._prior = np.maximum(p, np.float32(1e-12))
        self._tables: dict[tuple[int, int], _Table] = {}
        self._flat: Recent[_Flat] = Recent()

    def __call__(self, observation: ArrayLike, noise_variance: ArrayLike, bits: ArrayLike) -> Estimate:
        """Estimate and its noise variance; arguments as for `dequantize`."""
        y = checked_features(observation, self.quantizer.channels, "observation")
        b = checked_bits(bits, y.shape)
        nu = np.asarray(noise_variance, np.float32)
        if not (nu >= 0).all():
            raise QuantizeError("noise_variance: expected >= 0, got negative or NaN values")
        try:
            nu = np.broadcast_to(np.minimum(nu, np.float32(NOISE_CAP)), y.shape)
        except ValueError:
            raise QuantizeError(f"noise_variance: expected to broadcast to {y.shape}, got {nu.shape}") from None
        estimate, noise = {"hard": self._hard, "linear": self._linear, "soft": self._soft}[self.mode](y, nu, b)
        if b.all():
            return estimate, np.minimum(noise, np.float32(NOISE_CAP))
        unsent = np.broadcast_to(b == 0, y.shape)
        estimate = np.where(unsent, np.float32(0), estimate)
        return estimate, np.where(unsent, np.float32(NOISE_CAP), np.minimum(noise, np.float32(NOISE_CAP)))

    def _hard(self, y: Float32, nu: Float32, b: NDArray[np.uint8]) -> Estimate:
        flat, place = self._lookup(b), (b, np.arange(self.quantizer.channels))
        codes = self.quantizer.decide(y, b)
        # Two independent features differ by 2p on average: no decision does worse than that.
        wrong = np.minimum(_decision_error(flat.spacing.take(flat.starts[place] + codes), nu), 2 * self._prior)
        gain = flat.gain[place]
        return self.quantizer.dequantize(codes, b) / gain, (flat.excess[place] + wrong) / gain**2

    def _linear(self, y: Float32, nu: Float32, b: NDArray[np.uint8]) -> Estimate:
        flat, place = self._lookup(b), (b, np.arange(self.quantizer.channels))
        gain = flat.gain[place]
        return y / gain, (flat.excess[place] + nu) / gain**2

    def _soft(self, y: Float32, nu: Float32, b: NDArray[np.uint8]) -> Estimate:
        estimate, noise = np.zeros(y.shape, np.float32), np.full(y.shape, NOISE_CAP, np.float32)
        if (b >= LINEAR_FROM_BITS).any():
            flat, place = self._lookup(b), (b, np.arange(self.quantizer.channels))
            (hard, hard_noise), (estimate, noise) = self._hard(y, nu, b), self._linear(y, nu, b)
            gap = flat.spacing.take(flat.starts[place] + self.quantizer.decide(y, b))
            narrow = nu * 16 < gap**2
            estimate, noise = np.where(narrow, hard, estimate), np.where(narrow, hard_noise, noise)
        channels = y.shape[-1]
        rows_y, rows_nu = y.reshape(-1, channels), nu.reshape(-1, channels)
        rows_estimate, rows_noise = estimate.reshape(-1, channels), noise.reshape(-1, channels)
        parts: list[tuple[Any, NDArray[np.int64]]]
        for width in range(1, LINEAR_FROM_BITS):
            if b.ndim == 1:
                some = np.flatnonzero(b == width)
                block = max(1, _CHUNK // (2**width * max(rows_y.shape[0], 1)))
                parts = [(slice(None), some[i : i + block]) for i in range(0, some.size, block)]
            else:  # a width a feature: one channel at a time
                mask = (b == width).reshape(-1, channels)
                parts = [(np.flatnonzero(mask[:, c])[:, None], np.array([c])) for c in np.flatnonzero(mask.any(axis=0))]
            for part in parts:
                tables = [self._table(int(c), width) for c in part[1]]
                mean, variance = _posterior(rows_y[part].T, rows_nu[part].T, tables)
                found = _extrinsic(mean, variance, self._prior[part[1], None])
                rows_estimate[part], rows_noise[part] = found[0].T, found[1].T
        return estimate, noise

    def _table(self, channel: int, bits: int) -> _Table:
        key = channel, bits
        if key not in self._tables:
            levels = self.quantizer.levels(channel, bits)
            cells = self.quantizer.cells(channel, bits, float(self._prior[channel]))
            values, inverse = np.unique(levels.astype(np.float64), return_inverse=True)
            spacing = np.gradient(values)[inverse] if values.size > 1 else np.zeros(levels.size)
            prior = float(self._prior[channel])
            gain = float((cells.probability * levels * cells.centroid).sum()) / prior
            gain = max(gain, _LEAST_GAIN)  # levels that say nothing of the feature end up as noise beyond the cap
            excess = float((cells.probability * levels.astype(np.float64) ** 2).sum()) - gain**2 * prior
            self._tables[key] = _Table(
                levels,
                np.log(np.maximum(cells.probability, 1e-9)).astype(np.float32),
                np.stack((cells.centroid, cells.centroid**2, cells.variance)).astype(np.float32),
                spacing.astype(np.float32),
                gain,
                max(excess, 0.0),
            )
        return self._tables[key]

    def _lookup(self, b: NDArray[np.uint8]) -> _Flat:
        widths = tuple(np.flatnonzero(np.bincount(b.reshape(-1), minlength=1)).tolist())
        if widths in self._flat:
            return self._flat[widths]
        shape = (MAX_BITS + 1, self.quantizer.channels)
        starts, gain, excess = np.zeros(shape, np.int64), np.ones(shape, np.float32), np.zeros(shape, np.float32)
        spacing: list[Float32] = []
        first = 0
        for width in widths:
            for channel in range(shape[1]):
                table = self._table(channel, width)
                place = width, channel
                starts[place], gain[place], excess[place] = first, table.gain, table.excess
                spacing.append(table.spacing)
                first += table.levels.size
        return self._flat.keep(widths, _Flat(starts, np.concatenate(spacing), gain, excess))


@lru_cache(maxsize=1)
def _decision_curve() -> Float32:
    """E[(d·round(n/d))²]/σ² of noise n ~ N(0, σ²) on a lattice of spacing d = r·σ: r²·Σ_k (2k+1)·2Q((k+½)r)."""
    from scipy.special import ndtr  # takes as long to import as all of semstream's runtime

    r = (np.arange(_CURVE_POINTS) + 0.5) / _CURVE_STEPS
    k = np.arange(600)[:, None]
    curve = r**2 * ((2 * k + 1) * 2 * ndtr(-(k + 0.5) * r)).sum(axis=0)
    return np.append(np.where(r < 0.05, 1 + r**2 / 12, curve), 0.0).astype(np.float32)


def _decision_error(spacing: Float32, nu: Float32) -> Float32:
    ratio = spacing / np.sqrt(np.maximum(nu, np.float32(_LEAST_NOISE)))
    ratio *= np.float32(_CURVE_STEPS)
    np.minimum(ratio, np.float32(_CURVE_POINTS), out=ratio)
    error: Float32 = nu * _decision_curve().take(ratio.astype(np.int64))
    return error


_CURVE_STEPS = 64
_CURVE_POINTS = 12 * _CURVE_STEPS  # at a spacing of 12 σ and beyond no decision is wrong


def _posterior(y: Float32, nu: Float32, tables: list[_Table]) -> Estimate:
    """Posterior mean and variance of features (channels, N) given y = level + noise, with a table a channel."""
    mean, variance = np.empty(y.shape, np.float32), np.empty(y.shape, np.float32)
    levels = np.stack([t.levels for t in tables])[:, :, None]
    log_probability = np.stack([t.log_probability for t in tables])[:, :, None]
    moments = np.stack([t.moments for t in tables])
    half_precision = np.float32(-0.5) / np.maximum(nu, np.float32(_LEAST_NOISE))
    size = max(1, _CHUNK // (levels.shape[0] * levels.shape[1]))
    for first in range(0, y.shape[1], size):
        part = slice(first, first + size)
        weight = levels - y[:, None, part]
        weight *= weight
        weight *= half_precision[:, None, part]
        weight += log_probability
        weight -= weight.max(axis=1, keepdims=True)
        np.exp(weight, out=weight)
        centroid, square, within = ((moments @ weight) / weight.sum(axis=1, keepdims=True)).transpose(1, 0, 2)
        mean[:, part] = centroid
        variance[:, part] = within + np.maximum(square - centroid**2, 0)
    return mean, variance


def _extrinsic(mean: Float32, variance: Float32, prior: Float32) -> Estimate:
    """The pseudo-observation whose Wiener estimate with prior variance p is the posterior mean."""
    precision = 1 / np.maximum(variance, np.float32(_LEAST_NOISE)) - 1 / prior
    noise = 1 / np.maximum(precision, 1 / np.minimum(SOFT_CAP * prior, np.float32(NOISE_CAP)))
    return mean * ((prior + noise) / prior), noise
