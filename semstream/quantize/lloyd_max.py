"""Lloyd-Max codebooks: the minimum-mean-square-error scalar quantizer of a sample, one channel at a time.

References: S. P. Lloyd, "Least squares quantization in PCM" (1957/1982); J. Max, "Quantizing for minimum distortion"
(1960); W. R. Bennett (1948) and P. F. Panter, W. Dite (1951) for the point density f^(1/3) that the iteration starts
from.

    samples -> sort -> point density f^(1/3) -> Lloyd iterations -> levels (2**b) + cell statistics

From `TAIL_BITS` bits on, a sample's own maximum is where the error of unseen data comes from: one picture outside the
calibration range costs its whole excess squared, while a level there costs next to nothing. So a tail of mass
`TAIL_MASS`, density ~ |x|^-4, reaching `TAIL_REACH` times the sample's extent, is mixed into the fit at these widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import QuantizeError

__all__ = ["FITTED_BITS", "MAX_BITS", "Cells", "Codebooks", "cell_statistics", "fit", "fit_codebooks", "thresholds"]

MAX_BITS = 12
FITTED_BITS = 8
"""Widths up to this are fitted; wider ones interpolate the widest fitted one (its compressor curve)."""
TAIL_BITS = 6
TAIL_MASS = 2e-5
TAIL_REACH = 4.0
_TAIL_POINTS = 256
_DENSITY_CELLS = 512
_MAX_ITERATIONS = 500

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """What is known of the feature inside each cell of one codebook, shape (2**bits,) each, float64.

    Attributes
    ----------
    probability : how often the cell is used (sums to 1).
    centroid : mean of the feature inside the cell (equals the level of a converged Lloyd-Max codebook).
    variance : variance of the feature inside the cell, about the centroid.
    """

    probability: Float
    centroid: Float
    variance: Float


@dataclass(frozen=True)
class Codebooks:
    """Fitted codebooks of all channels: for each width b a float32 array (C, 2**b) of each kind.

    Attributes
    ----------
    levels : ascending reconstruction levels.
    probability, centroid, variance : the cells' statistics on the calibration samples (see `Cells`).
    """

    levels: Mapping[int, Float32]
    probability: Mapping[int, Float32]
    centroid: Mapping[int, Float32]
    variance: Mapping[int, Float32]

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return int(next(iter(self.levels.values())).shape[0])

    def to_arrays(self, prefix: str = "codebook") -> dict[str, Float32]:
        """Flat named arrays for a safetensors profile: ``{prefix}.{kind}.{bits}`` -> (C, 2**bits)."""
        kinds = {"levels": self.levels, "probability": self.probability}
        kinds |= {"centroid": self.centroid, "variance": self.variance}
        return {f"{prefix}.{kind}.{b}": np.ascontiguousarray(a) for kind, d in kinds.items() for b, a in d.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike], prefix: str = "codebook") -> Codebooks:
        """Read back what `to_arrays` wrote; other names are ignored.

        Raises
        ------
        QuantizeError
            A kind or a width is missing, or an array has another shape than (C, 2**bits), or is not finite.
        """
        kinds: dict[str, dict[int, Float32]] = {"levels": {}, "probability": {}, "centroid": {}, "variance": {}}
        for name, array in arrays.items():
            head, _, rest = name.partition(".")
            kind, _, width = rest.partition(".")
            if head == prefix and kind in kinds and width.isascii() and width.isdigit() and len(width) < 4:
                kinds[kind][int(width)] = np.asarray(array, np.float32)
        widths = sorted(kinds["levels"])
        if not widths or widths != list(range(1, len(widths) + 1)):
            raise QuantizeError(
                f"codebooks: expected '{prefix}.levels.1', '.2', ... without a gap, got widths {widths}"
            )
        channels = kinds["levels"][1].shape[0] if kinds["levels"][1].ndim == 2 else 0
        for kind, by_width in kinds.items():
            for b in widths:
                if b not in by_width or by_width[b].shape != (channels, 2**b) or not np.isfinite(by_width[b]).all():
                    got = by_width[b].shape if b in by_width else "nothing"
                    raise QuantizeError(
                        f"codebooks: '{prefix}.{kind}.{b}' must be finite, {(channels, 2**b)}, got {got}"
                    )
        return cls(**kinds)


def thresholds(levels: ArrayLike) -> Float32:
    """Decision thresholds, halfway between neighbouring levels: (..., L) -> (..., L - 1) float32.

    A value x gets the code #{j : t_j < x}: a value on a threshold belongs to the lower cell.
    """
    wide = np.asarray(levels, np.float64)
    return ((wide[..., 1:] + wide[..., :-1]) / 2).astype(np.float32)


class _Sample:
    """Sorted weighted points with running sums, so that any cell's mass and moments are two look-ups."""

    def __init__(self, points: Float, weights: Float) -> None:
        order = np.argsort(points, kind="stable")
        self.x = points[order]
        w = weights[order]
        self.mass, self.first, self.second = (
            np.concatenate(([0.0], np.cumsum(v))) for v in (w, w * self.x, w * self.x**2)
        )

    def cells(self, limits: ArrayLike) -> tuple[Float, Float, Float]:
        """Mass and first and second moment of the cells that the thresholds `limits` cut."""
        cut = np.searchsorted(self.x, np.asarray(limits, np.float64), side="right")
        edges = np.concatenate(([0], cut, [self.x.size]))
        return np.diff(self.mass[edges]), np.diff(self.first[edges]), np.diff(self.second[edges])


def _checked(samples: ArrayLike, ndim: int) -> Float:
    x = np.asarray(samples, np.float64)
    if x.ndim != ndim or x.size == 0:
        raise QuantizeError(f"samples: expected a non-empty array of {ndim} dimension(s), got shape {x.shape}")
    if not np.isfinite(x).all():
        raise QuantizeError(f"samples: {np.count_nonzero(~np.isfinite(x))} of {x.size} values are NaN or infinite")
    return x


def _sample(x: Float, bits: int) -> _Sample:
    """The points to fit on; from `TAIL_BITS` on with a tail beyond the sample's own extremes."""
    weights = np.full(x.size, 1.0 / x.size)
    if bits < TAIL_BITS or np.ptp(x) == 0:
        return _Sample(x, weights)
    center = float(np.median(x))
    u = (np.arange(_TAIL_POINTS) + 0.5) / _TAIL_POINTS
    stretch = (1 - u * (1 - TAIL_REACH**-3)) ** (-1 / 3)  # inverse distribution of density ~ t^-4 on [1, reach]
    tail = np.concatenate([center + (end - center) * stretch for end in (x.min(), x.max())])
    tail_weights = np.full(tail.size, TAIL_MASS / tail.size)
    return _Sample(np.concatenate((x, tail)), np.concatenate((weights * (1 - TAIL_MASS), tail_weights)))


def _companded(sample: _Sample, count: int) -> Float:
    """Levels at the point density f^(1/3), optimal for many levels (Panter and Dite)."""
    lowest = max(0.5 * float(np.diff(sample.mass).min()), 1e-12)
    grid = np.linspace(np.log(lowest), -np.log(lowest), _DENSITY_CELLS + 1)
    edges_u = np.concatenate(([0.0], 1 / (1 + np.exp(-grid)), [1.0]))  # logistic spacing resolves both tails
    edges_x = np.interp(edges_u, sample.mass[1:] / sample.mass[-1], sample.x)
    points = np.concatenate(([0.0], np.cumsum(np.cbrt(np.diff(edges_u) * np.diff(edges_x) ** 2))))
    if points[-1] <= 0:
        return np.full(count, sample.x[0])
    return np.interp((np.arange(count) + 0.5) / count, points / points[-1], edges_x)


def _ascending(levels: Float) -> Float32:
    """Strictly ascending float32 levels: equal ones (constant or discrete data) are set a hair apart."""
    gap = max(float(np.abs(levels).max()), 1e-6) * 2.0**-20
    ramp = gap * np.arange(levels.size)
    spread: Float32 = (np.maximum.accumulate(levels - ramp) + ramp).astype(np.float32)
    return spread


def fit(samples: ArrayLike, bits: int) -> Float32:
    """Lloyd-Max levels of a sample.

    Parameters
    ----------
    samples : (N,) real, finite. At least some 16 samples a level are wanted; fewer still work.
    bits : width of a code, 0..8. Width 0 has the one level 0: a feature that is not sent reads as 0.

    Returns
    -------
    (2**bits,) float32, strictly ascending.

    Raises
    ------
    QuantizeError
        An empty or non-finite sample, or a width outside 0..8.
    """
    return _fit(_checked(samples, 1), bits)


def _fit(x: Float, bits: int) -> Float32:
    if not 0 <= bits <= FITTED_BITS:
        raise QuantizeError(f"bits: expected 0..{FITTED_BITS} for a fitted codebook, got {bits}")
    if bits == 0:
        return np.zeros(1, np.float32)
    count = 2**bits
    sample = _sample(x, bits)
    levels = _companded(sample, count)
    # With few samples a level the iteration would fit the sample's gaps; the smooth point density generalises better.
    for _ in range(_MAX_ITERATIONS if x.size >= 64 * count else 3):
        mass, first, _second = sample.cells((levels[1:] + levels[:-1]) / 2)
        moved = np.divide(first, mass, out=levels.copy(), where=mass > 0)
        moved = np.maximum.accumulate(moved)  # an empty cell's level stays, and may be overtaken by a rounding error
        shift = float(np.abs(moved - levels).max())
        levels = moved
        if shift <= 1e-7 * float(np.ptp(levels)):
            break
    return _ascending(levels)


def widen(levels: ArrayLike, bits: int) -> Float32:
    """Levels of a wider codebook on the compressor curve of a fitted one: (C, 2**a) -> (C, 2**bits), bits > a."""
    known = np.asarray(levels, np.float64)
    count, wanted = known.shape[-1], 2**bits
    if wanted <= count:
        raise QuantizeError(f"bits: expected a width above {int(np.log2(count))}, got {bits}")
    where = (np.arange(wanted) + 0.5) / wanted * count - 0.5  # in units of known levels; the ends extrapolate
    left = np.clip(np.floor(where).astype(int), 0, count - 2)
    part = where - left
    return np.stack([_ascending(row[left] * (1 - part) + row[left + 1] * part) for row in known])


def cell_statistics(samples: ArrayLike, levels: ArrayLike) -> Cells:
    """Probability, centroid and variance of each cell of ascending `levels` (L,) on `samples` (N,).

    A cell that no sample fell into gets probability 0, its level as centroid and a flat density's variance.
    """
    x = _checked(samples, 1)
    return _statistics(_Sample(x, np.full(x.size, 1.0 / x.size)), np.asarray(levels, np.float64))


def _statistics(sample: _Sample, levels: Float) -> Cells:
    mass, first, second = sample.cells(thresholds(levels))
    used = mass > 1e-15
    spacing = np.gradient(levels) if levels.size > 1 else np.ones(1)
    centroid = np.divide(first, mass, out=levels.copy(), where=used)
    flat = spacing**2 / 12
    variance = np.divide(second, mass, out=flat + centroid**2, where=used) - centroid**2
    return Cells(np.where(used, mass, 0.0) / mass.sum(), centroid, np.maximum(variance, 0.0))


def fit_codebooks(samples: ArrayLike, max_bits: int = FITTED_BITS) -> Codebooks:
    """Codebooks of every channel and every width 1..`max_bits`, with their cells' statistics.

    Parameters
    ----------
    samples : (N, C) calibration features, one row a position.
    max_bits : widest fitted codebook, 1..8.

    Raises
    ------
    QuantizeError
        Non-finite or empty samples, or a width outside 1..8.
    """
    x = _checked(samples, 2)
    if not 1 <= max_bits <= FITTED_BITS:
        raise QuantizeError(f"max_bits: expected 1..{FITTED_BITS}, got {max_bits}")
    names = ("levels", "probability", "centroid", "variance")
    tables = {name: {b: np.empty((x.shape[1], 2**b), np.float32) for b in range(1, max_bits + 1)} for name in names}
    for channel in range(x.shape[1]):
        column = np.sort(x[:, channel])
        plain = _Sample(column, np.full(column.size, 1.0 / column.size))
        for b in range(1, max_bits + 1):
            levels = _fit(column, b)
            cells = _statistics(plain, levels.astype(np.float64))
            for name, row in zip(names, (levels, cells.probability, cells.centroid, cells.variance), strict=True):
                tables[name][b][channel] = row
    return Codebooks(**tables)
