"""The paper's fixed-point quantizer: sign | integer | fraction.

Source: "Feature-Driven Semantic Communication for Efficient Image Transmission", Entropy 2025, 27, 369, Algorithms 1
and 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import QuantizeError
from semstream.quantize.lloyd_max import MAX_BITS, Cells
from semstream.quantize.quantizer import Codes, Float32, checked_bits, checked_codes, checked_features

__all__ = ["FixedPoint", "frame_range", "frame_range_bits", "split"]

_WIDTHS = np.arange(MAX_BITS + 1)
_STEPS = np.maximum(2.0 ** (_WIDTHS - 1) - 1, 0).astype(np.float32)  # 2^(b1+b2) - 1
_SIGN_SHIFT = np.maximum(_WIDTHS - 1, 0).astype(np.uint16)
_FRACTION = np.where(_WIDTHS >= 3, 1, 0)
_INTEGER = np.maximum(_WIDTHS - 1 - _FRACTION, 0)


def split(bits: int) -> tuple[int, int, int]:
    """Sign, integer and fraction bits of a width: 5 = 1·3·1, 3 = 1·1·1, 2 = 1·1·0 as in the paper.

    Other widths follow the same pattern: one sign bit, one fraction bit from 3 bits on, the rest integer bits.
    """
    if not 0 <= bits <= MAX_BITS:
        raise QuantizeError(f"bits: expected 0..{MAX_BITS}, got {bits}")
    return min(bits, 1), int(_INTEGER[bits]), int(_FRACTION[bits])


def frame_range(features: ArrayLike) -> NDArray[np.float16]:
    """Largest magnitude of each channel of one frame, for a range sent with the frame.

    Parameters
    ----------
    features : (..., C) finite.

    Returns
    -------
    (C,) float16, rounded up, so that nothing is clipped; `frame_range_bits` is what sending it costs.

    Raises
    ------
    QuantizeError
        Non-finite features, or a magnitude beyond float16 (65504).
    """
    x = np.asarray(features, np.float32)
    x = checked_features(x, x.shape[-1] if x.ndim else 0)
    largest = np.abs(x.reshape(-1, x.shape[-1])).max(axis=0, initial=0.0)
    if largest.size and float(largest.max()) > 65504:
        raise QuantizeError(
            f"features: a range a frame is sent as float16, expected |x| <= 65504, got {largest.max():g}"
        )
    rounded = largest.astype(np.float16)
    upward: NDArray[np.float16] = np.where(rounded < largest, np.nextafter(rounded, np.float16(np.inf)), rounded)
    return upward


def frame_range_bits(channels: int) -> int:
    """Side information of a range a frame: 16 bits a channel."""
    return 16 * channels


class FixedPoint:
    """Fixed-point quantization with a range a channel.

    With b = 1 + b1 + b2 bits (`split`) and range R:
    q = round(|x|/R · (2^(b1+b2) − 1)), integer part q >> b2, fraction part q mod 2^b2, x̂ = ±R · q/(2^(b1+b2) − 1),
    and the code is sign | integer | fraction. Magnitudes beyond R clip. At 1 bit only the sign is left: x̂ = ±R/2. At
    0 bits x̂ = 0. Two of the codes mean zero (sign and magnitude); 5 bits give 31 levels.

    Parameters
    ----------
    range_ : (C,) largest magnitude of each channel, >= 0, from calibration (`from_samples`) or from the frame
        (`frame_range`).
    as_printed : keep the literal reading of Algorithms 1 and 2, **for the reproduction study only**. As printed, the
        integer and the fraction part each quantize the *whole* of |x| − min, with steps Δ1 = R/(2^b1 − 1) and
        Δ2 = R/(2^b2 − 1); the two are then added, although each alone already stands for x; each is multiplied by its
        step a second time; and the sign is sent but never applied:
        x̂ = round((|x| − min)/Δ1)·Δ1² + round((|x| − min)/Δ2)·Δ2² + min. On Gaussian data that has an SQNR below 0 dB:
        sending nothing is better. The 2-bit split has b2 = 0, for which Δ2 divides by zero (and at 1 bit Δ1 as well);
        here a part that has no bits contributes nothing, as no other reading gives a number. min is taken as 0.

    Notes
    -----
    The object holds no tables, so one a frame (a range a frame) costs nothing.
    """

    def __init__(self, range_: ArrayLike, as_printed: bool = False) -> None:
        r = np.asarray(range_, np.float32)
        if r.ndim != 1 or r.size == 0 or not (np.isfinite(r) & (r >= 0)).all():
            raise QuantizeError(f"range_: expected (C,) finite and >= 0, got shape {r.shape}: {r}")
        self.range_ = r
        self.as_printed = as_printed

    @classmethod
    def from_samples(cls, samples: ArrayLike, as_printed: bool = False) -> FixedPoint:
        """Range of each channel from calibration samples (N, C): the largest magnitude."""
        x = np.asarray(samples, np.float32)
        x = checked_features(x, x.shape[-1] if x.ndim else 0, "samples")
        return cls(np.abs(x.reshape(-1, x.shape[-1])).max(axis=0, initial=0.0), as_printed)

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return int(self.range_.size)

    def quantize(self, features: ArrayLike, bits: ArrayLike) -> Codes:
        """Codes sign | integer | fraction, uint16 of the features' shape; `bits` (C,) or that shape.

        Raises
        ------
        QuantizeError
            NaN or infinite features, a wrong channel count, widths out of range or of another shape.
        """
        x = checked_features(features, self.channels)
        b = checked_bits(bits, x.shape)
        magnitude = np.abs(x)
        if self.as_printed:
            parts = (_rounded(magnitude, self._inverse(_SPLIT_STEPS[i][b]), _SPLIT_STEPS[i][b]) for i in (0, 1))
            integer, fraction = parts
            q = (integer << _FRACTION[b].astype(np.uint16)) | fraction
        else:
            q = _rounded(magnitude, self._inverse(_STEPS[b]), _STEPS[b])
        sign = np.less(x, 0) & (b > 0)
        q |= np.left_shift(sign, _SIGN_SHIFT[b], dtype=np.uint16)
        return q

    def decide(self, observation: ArrayLike, bits: ArrayLike) -> Codes:
        """Codes of the levels nearest to noisy levels (..., C)."""
        if not self.as_printed:
            return self.quantize(observation, bits)
        x = checked_features(observation, self.channels, "observation")
        b = np.broadcast_to(checked_bits(bits, x.shape), x.shape)
        codes = np.zeros(x.shape, np.uint16)
        for channel in range(self.channels):
            for width in np.unique(b[..., channel]):
                here = b[..., channel] == width
                levels = self.levels(channel, int(width))
                order = np.argsort(levels, kind="stable")
                limits = (levels[order][1:] + levels[order][:-1]) / 2
                codes[..., channel][here] = order[np.searchsorted(limits, x[..., channel][here])]
        return codes

    def dequantize(self, codes: ArrayLike, bits: ArrayLike) -> Float32:
        """Levels of codes (..., C), float32.

        Raises
        ------
        QuantizeError
            A code that does not fit its width, a wrong channel count, widths out of range.
        """
        c, b = checked_codes(codes, bits, self.channels)
        q = c & (np.left_shift(np.uint16(1), _SIGN_SHIFT[b], dtype=np.uint16) - np.uint16(1))
        if self.as_printed:
            f = _FRACTION[b].astype(np.uint16)
            parts = (q >> f, q & ((np.uint16(1) << f) - np.uint16(1)))
            steps = (self._step(_SPLIT_STEPS[i][b]) for i in (0, 1))
            printed: Float32 = sum(
                (p * s * s for p, s in zip(parts, steps, strict=True)), np.zeros(c.shape, np.float32)
            )
            return printed.astype(np.float32)
        magnitude = q * self._step(_STEPS[b])
        magnitude += np.where(b == 1, self.range_ / 2, np.float32(0))
        negative = (c >> _SIGN_SHIFT[b]).astype(bool) & (b > 0)
        return np.where(negative, -magnitude, magnitude)

    def levels(self, channel: int, bits: int) -> Float32:
        """Level of every code, (2**bits,), in the order of the codes: not ascending, as the sign is the leading bit."""
        one = FixedPoint(self.range_[channel : channel + 1], self.as_printed)
        return one.dequantize(np.arange(2**bits, dtype=np.uint16)[:, None], np.full(1, bits))[:, 0]

    def cells(self, channel: int, bits: int, variance: float) -> Cells:
        """Cell statistics of a zero-mean Gaussian of the given variance, as a fixed-point quantizer knows no other."""
        from scipy.special import ndtr  # takes as long to import as all of semstream's runtime

        levels = self.levels(channel, bits).astype(np.float64)
        if bits == 0 or self.as_printed or self.range_[channel] == 0:
            flat = np.full(levels.size, float(variance) if bits == 0 else 0.0)
            return Cells(np.full(levels.size, 1 / levels.size), levels, flat)
        sigma = np.sqrt(max(float(variance), 1e-12))
        half = levels.size // 2  # codes of sign 0; sign 1 mirrors them
        limits = np.concatenate(([0.0], (levels[1:half] + levels[: half - 1]) / 2, [np.inf])) / sigma
        below, density = ndtr(limits), np.exp(-(limits**2) / 2) / np.sqrt(2 * np.pi)
        moment = np.where(np.isfinite(limits), limits, 0.0) * density
        mass = np.maximum(np.diff(below), 1e-300)
        seen = mass > 1e-12
        centroid = np.where(seen, -np.diff(density) / mass * sigma, levels[:half])
        second = (1 - np.diff(moment) / mass) * sigma**2
        spread = np.where(seen, np.maximum(second - centroid**2, 0.0), 0.0)
        probability = np.concatenate((mass, mass))
        return Cells(
            probability / probability.sum(), np.concatenate((centroid, -centroid)), np.concatenate((spread, spread))
        )

    def _step(self, steps: Float32) -> Float32:
        return np.divide(self.range_, steps, out=np.zeros(steps.shape, np.float32), where=steps > 0)

    def _inverse(self, steps: Float32) -> Float32:
        # A range of 0 (a channel that never moved) quantizes to 0; a tiny one may overflow, which the clip catches.
        with np.errstate(over="ignore"):
            return np.divide(steps, self.range_, out=np.zeros(steps.shape, np.float32), where=self.range_ > 0)


_SPLIT_STEPS = ((2.0**_INTEGER - 1).astype(np.float32), (2.0**_FRACTION - 1).astype(np.float32))


def _rounded(magnitude: Float32, inverse: Float32, most: Float32) -> Codes:
    with np.errstate(over="ignore", invalid="ignore"):
        q = magnitude * inverse
    np.fmin(q, most, out=q)
    np.rint(q, out=q)
    return q.astype(np.uint16)
