"""The quantizers: features to integer codes and back, a width a channel or a width a feature.

    features (..., C) --quantize--> codes uint16 (..., C) --dequantize--> levels float32 (..., C)
                            ^ bits (C,) or (..., C), 0..12: at 0 bits the code is 0 and the level is 0

`LloydMax` is the default; `semstream.quantize.fixed_point.FixedPoint` is the paper's. Both answer to `Quantizer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import QuantizeError
from semstream.quantize.lloyd_max import FITTED_BITS, MAX_BITS, Cells, Codebooks, thresholds, widen
from semstream.quantize.lookup import Lookup, Tiles, tile_rows
from semstream.quantize.recent import Recent

__all__ = ["LloydMax", "Quantizer", "checked_bits", "checked_codes", "checked_features", "measure_distortion"]

Float32 = NDArray[np.float32]
Codes = NDArray[np.uint16]


class Quantizer(Protocol):
    """What an allocation, a dequantizer and a block need of a quantizer."""

    @property
    def channels(self) -> int:
        """Number of channels C."""

    def quantize(self, features: ArrayLike, bits: ArrayLike) -> Codes:
        """Codes of features (..., C), each below 2**bits."""

    def dequantize(self, codes: ArrayLike, bits: ArrayLike) -> Float32:
        """Levels of codes (..., C)."""

    def decide(self, observation: ArrayLike, bits: ArrayLike) -> Codes:
        """Codes of the levels nearest to noisy levels (..., C)."""

    def levels(self, channel: int, bits: int) -> Float32:
        """Level of every code, (2**bits,)."""

    def cells(self, channel: int, bits: int, variance: float) -> Cells:
        """Statistics of the feature inside every code's cell; `variance` is E[s^2] of the channel."""


def checked_features(features: ArrayLike, channels: int, what: str = "features") -> Float32:
    """Features as a contiguous float32 array (..., C).

    Raises
    ------
    QuantizeError
        Another channel count, or NaN or infinite values (named, with the first one's place).
    """
    x = np.ascontiguousarray(features, np.float32)
    if x.ndim == 0 or x.shape[-1] != channels:
        raise QuantizeError(f"{what}: expected (..., {channels}) for a quantizer of {channels} channels, got {x.shape}")
    flat = x.reshape(-1)
    # One fused pass: the energy of finite features is finite, save for an overflow that the exact look settles.
    # Not by BLAS, whose threads would fight with the other blocks.
    with np.errstate(over="ignore"):
        energy = float(np.einsum("i,i->", flat, flat))
    if not math.isfinite(energy):
        bad = ~np.isfinite(flat)
        if bad.any():
            first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), x.shape))
            count = int(bad.sum())
            raise QuantizeError(
                f"{what}: {count} of {x.size} values are NaN or infinite, the first ({flat[bad][0]}) at {first}"
            )
        x = np.clip(x, np.float32(-1e18), np.float32(1e18))
    return x


def checked_bits(bits: ArrayLike, shape: tuple[int, ...], max_bits: int = MAX_BITS) -> NDArray[np.uint8]:
    """Widths as uint8, of shape (C,) or of the features' whole shape.

    Raises
    ------
    QuantizeError
        Another shape, a width that is not a whole number, or one outside 0..`max_bits`.
    """
    b = np.asarray(bits)
    if b.shape != shape and b.shape != shape[-1:]:
        raise QuantizeError(f"bits: expected shape {shape[-1:]} (a channel) or {shape} (a feature), got {b.shape}")
    if b.dtype.kind not in "iu":
        raise QuantizeError(f"bits: expected whole numbers, got dtype {b.dtype}")
    if b.size and (int(b.min()) < 0 or int(b.max()) > max_bits):
        raise QuantizeError(f"bits: expected 0..{max_bits}, got {int(b.min())}..{int(b.max())}")
    return np.ascontiguousarray(b, np.uint8)


def checked_codes(codes: ArrayLike, bits: ArrayLike, channels: int) -> tuple[Codes, NDArray[np.uint8]]:
    """Codes as uint16 (..., C) and their widths.

    Raises
    ------
    QuantizeError
        Wrong shapes, codes that are not whole numbers, or a code that does not fit its width.
    """
    c = np.asarray(codes)
    if c.ndim == 0 or c.shape[-1] != channels or c.dtype.kind not in "iu":
        raise QuantizeError(f"codes: expected whole numbers (..., {channels}), got {c.dtype} {c.shape}")
    b = checked_bits(bits, c.shape)
    if c.size and (int(c.min()) < 0 or (c >> b).any()):
        raise QuantizeError("codes: some are negative or do not fit their width; these are not this quantizer's codes")
    return np.ascontiguousarray(c, np.uint16), b


class LloydMax:
    """Nearest-level quantization with a fitted codebook a channel and width.

    Parameters
    ----------
    codebooks : `Codebooks` (from `lloyd_max.fit_codebooks`), or levels alone, {bits: (C, 2**bits)} for 1..8 bits, in
        which case the cells count as equally probable. Widths above the widest given one are interpolated from it.

    Notes
    -----
    Tables are built at the first use of a bits vector and kept; the object is cheap to share and holds no other state.
    """

    def __init__(self, codebooks: Codebooks | Mapping[int, ArrayLike]) -> None:
        self._fitted = codebooks if isinstance(codebooks, Codebooks) else _without_statistics(codebooks)
        self._levels: dict[int, Float32] = {b: np.asarray(a, np.float32) for b, a in self._fitted.levels.items()}
        self._levels[0] = np.zeros((self._fitted.channels, 1), np.float32)
        self._widest = max(self._fitted.levels)
        self._lookups: Recent[Lookup] = Recent()
        self._plans: Recent[tuple[Lookup, Tiles, int]] = Recent()
        self._tables: Recent[tuple[Float32, NDArray[np.int64]]] = Recent()

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self._fitted.channels

    @property
    def codebooks(self) -> Codebooks:
        """The fitted codebooks, as stored with the weights."""
        return self._fitted

    def all_levels(self, bits: int) -> Float32:
        """Levels of all channels at one width, (C, 2**bits) float32, ascending along the last axis."""
        if bits not in self._levels:
            if not self._widest < bits <= MAX_BITS:
                raise QuantizeError(f"bits: expected 0..{MAX_BITS}, got {bits}")
            self._levels[bits] = widen(self._levels[self._widest], bits)
        return self._levels[bits]

    def levels(self, channel: int, bits: int) -> Float32:
        """Level of every code, (2**bits,), ascending; at 0 bits the one level is 0."""
        own: Float32 = self.all_levels(bits)[channel]
        return own

    def cells(self, channel: int, bits: int, variance: float) -> Cells:
        """Cell statistics measured on the calibration set; beyond the fitted widths, of a density flat in each cell.

        `variance` serves at 0 bits alone, where the one cell is everything.
        """
        if bits == 0:
            return Cells(np.ones(1), np.zeros(1), np.array([float(variance)]))
        given = self._fitted
        if bits <= self._widest:
            kinds = (given.probability, given.centroid, given.variance)
            return Cells(*(np.asarray(kind[bits][channel], np.float64) for kind in kinds))
        coarse, fine = (self.levels(channel, b).astype(np.float64) for b in (self._widest, bits))
        below = np.concatenate(([0.0], np.cumsum(given.probability[self._widest][channel], dtype=np.float64)))
        share = np.interp(_edges(fine), _edges(coarse), below / below[-1])
        probability = np.diff(share)
        return Cells(probability / max(probability.sum(), 1e-30), fine, np.diff(_edges(fine)) ** 2 / 12)

    def quantize(self, features: ArrayLike, bits: ArrayLike) -> Codes:
        """Codes of the nearest levels.

        Parameters
        ----------
        features : (..., C) real, finite.
        bits : (C,) or the features' shape, whole numbers 0..12.

        Returns
        -------
        uint16, the features' shape; each code below 2**bits.

        Raises
        ------
        QuantizeError
            NaN or infinite features, a wrong channel count, widths out of range or of another shape.
        """
        x = checked_features(features, self.channels)
        if x.size == 0:
            return np.zeros(x.shape, np.uint16)
        lookup, tiles, period = self._plan(bits, x)
        return lookup.codes(x.reshape(-1, period), tiles).reshape(x.shape)

    decide = quantize

    def dequantize(self, codes: ArrayLike, bits: ArrayLike) -> Float32:
        """Levels of codes (..., C), float32.

        Raises
        ------
        QuantizeError
            A code that does not fit its width, a wrong channel count, widths out of range.
        """
        c, b = checked_codes(codes, bits, self.channels)
        if c.size == 0:
            return np.zeros(c.shape, np.float32)
        table, starts = self._level_table(tuple(np.flatnonzero(np.bincount(b.reshape(-1), minlength=1)).tolist()))
        taken: Float32 = table.take(starts[b, np.arange(self.channels)] + c)
        return taken

    def _plan(self, bits: ArrayLike, x: Float32) -> tuple[Lookup, Tiles, int]:
        positions = x.size // self.channels
        key = (bits.tobytes(), bits.dtype.char, bits.shape, positions) if isinstance(bits, np.ndarray) else None
        if key is not None and key in self._plans:
            return self._plans[key]
        b = checked_bits(bits, x.shape)
        channel = np.arange(self.channels)
        if b.ndim == 1:
            lookup = self._lookup(tuple((c, int(width)) for c, width in enumerate(b)))
            rows = tile_rows(positions, self.channels)
            plan = lookup, lookup.tiles(np.tile(channel, rows)), rows * self.channels
            return plan if key is None else self._plans.keep(key, plan)
        widths = np.flatnonzero(np.bincount(b.reshape(-1), minlength=MAX_BITS + 1))
        lookup = self._lookup(tuple((c, int(width)) for width in widths for c in range(self.channels)))
        place = np.zeros(MAX_BITS + 1, np.int64)
        place[widths] = np.arange(widths.size) * self.channels
        # A map a frame rarely comes twice: its tables are kept, its tiles are not.
        return lookup, lookup.tiles((place[b] + channel).reshape(-1)), x.size

    def _lookup(self, sets: tuple[tuple[int, int], ...]) -> Lookup:
        if sets in self._lookups:
            return self._lookups[sets]
        return self._lookups.keep(sets, Lookup([thresholds(self.levels(c, width)) for c, width in sets]))

    def _level_table(self, widths: tuple[int, ...]) -> tuple[Float32, NDArray[np.int64]]:
        """All levels of some widths in one row, and where (width, channel) starts in it."""
        if widths in self._tables:
            return self._tables[widths]
        starts = np.zeros((MAX_BITS + 1, self.channels), np.int64)
        first = 0
        for width in widths:
            starts[width] = first + np.arange(self.channels) * 2**width
            first += self.channels * 2**width
        return self._tables.keep(widths, (np.concatenate([self.all_levels(w).reshape(-1) for w in widths]), starts))


def _edges(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell limits with the open ends closed symmetrically about the outermost levels."""
    inner = (levels[1:] + levels[:-1]) / 2
    return np.concatenate(([2 * levels[0] - inner[0]], inner, [2 * levels[-1] - inner[-1]]))


def _without_statistics(levels: Mapping[int, ArrayLike]) -> Codebooks:
    known = {int(b): np.asarray(a, np.float32) for b, a in levels.items() if int(b) > 0}
    channels = {a.shape[0] for a in known.values() if a.ndim == 2}
    fits = all(
        a.ndim == 2 and a.shape[1] == 2**b and np.isfinite(a).all() and (np.diff(a) >= 0).all()
        for b, a in known.items()
    )
    if not known or len(channels) != 1 or not fits or sorted(known) != list(range(1, len(known) + 1)):
        raise QuantizeError(
            f"codebooks: expected finite ascending levels (C, 2**bits) for each width 1..{FITTED_BITS} without a gap, "
            f"got { ({b: a.shape for b, a in known.items()}) }"
        )
    probability = {b: np.full(a.shape, 2.0**-b, np.float32) for b, a in known.items()}
    spread = {b: (np.gradient(a, axis=1) ** 2 / 12).astype(np.float32) for b, a in known.items()}
    return Codebooks(known, probability, known, spread)


def measure_distortion(samples: ArrayLike, quantizer: Quantizer) -> NDArray[np.float64]:
    """Mean squared quantization error D_j(b) of each channel, measured.

    Parameters
    ----------
    samples : (N, C) features.

    Returns
    -------
    (C, 13) float64 for b = 0..12; column 0 is E[s^2], as a feature that is not sent reads as 0.

    Raises
    ------
    QuantizeError
        Non-finite samples or a wrong channel count.
    """
    x = checked_features(samples, quantizer.channels, "samples")
    wide = x.reshape(-1, quantizer.channels)
    measured = np.empty((quantizer.channels, MAX_BITS + 1))
    for b in range(MAX_BITS + 1):
        bits = np.full(quantizer.channels, b, np.uint8)
        error = wide - quantizer.dequantize(quantizer.quantize(wide, bits), bits)
        measured[:, b] = np.mean(error.astype(np.float64) ** 2, axis=0)
    return measured
