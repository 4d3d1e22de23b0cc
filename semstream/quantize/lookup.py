"""Exact scalar quantization of many channels at once by table look-up.

A binary search costs log2(L) dependent memory reads a feature. Here a channel's range is cut into equal bins, fine
enough that a bin holds at most one decision threshold, so that one read and one comparison decide:

    x -> bin = clip(x * scale + offset) -> code = below[bin] + (x > threshold[bin])

It is exact whatever the rounding: the map from x to a bin is monotone in float32 as well, and the tables are made by
sending the thresholds themselves through it. Where thresholds crowd so that a bin must hold several, a binary search
among those follows; where all sets have few thresholds, comparing with every one is faster still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lookup", "Tiles", "tile_rows"]

Float32 = NDArray[np.float32]

_MAX_BINS = 8192
_FEW = 7
_TILE = 4096  # elements of one tile of constants
_BLOCK = 16384  # elements worked on at a time, so that the intermediates stay in the second-level cache


def tile_rows(positions: int, channels: int) -> int:
    """How many positions share one tile of per-channel constants: the largest divisor that keeps the tile small.

    Broadcasting (channels,) against (positions, channels) makes inner loops of `channels` elements; over a tile they
    run to thousands.
    """
    most = max(1, _TILE // max(channels, 1))
    return next((r for r in range(min(most, positions), 0, -1) if positions % r == 0), 1)


@dataclass(frozen=True)
class Tiles:
    """Per-element constants of one tile: what a feature needs to find its bin and its thresholds."""

    scale: Float32
    offset: Float32
    first_bin: Float32
    last_bin: Float32
    first_threshold: NDArray[np.int64]
    few: tuple[Float32, ...]  # the i-th threshold of every element, where there are few


class Lookup:
    """Tables of several threshold sets, found by the set's index.

    Parameters
    ----------
    threshold_sets : ascending float32 thresholds of each set; a set may be empty (every code is 0).
    """

    def __init__(self, threshold_sets: Sequence[Float32]) -> None:
        bins = [self._bins(t) for t in threshold_sets]
        first = np.concatenate(([0], np.cumsum(bins)))
        count = len(threshold_sets)
        self._scale, self._offset = np.zeros(count, np.float32), first[:-1].astype(np.float32)
        self._first_bin = first[:-1].astype(np.float32)
        self._last_bin = (first[1:] - 1).astype(np.float32)
        self._below = np.zeros(first[-1], np.uint16)
        self._threshold = np.full(first[-1], np.inf, np.float32)
        most = max(t.size for t in threshold_sets)
        self._few = np.full((most if most <= _FEW else 0, count), np.inf, np.float32)
        crowd = 1
        for i, t in enumerate(threshold_sets):
            self._few[: t.size, i] = t[: len(self._few)]
            if t.size:
                crowd = max(crowd, self._fill(i, t, int(first[i]), bins[i]))
        # A bin of up to 2^r - 1 thresholds takes r rounds; reading past a set's end meets infinity.
        rounds = crowd.bit_length()
        self._strides = tuple(2**r for r in range(rounds - 1, -1, -1)) if crowd > 1 else ()
        padding = np.full(2**rounds, np.inf, np.float32)
        self._first_threshold = np.cumsum([0] + [t.size + padding.size for t in threshold_sets[:-1]]).astype(np.int64)
        self._thresholds = np.concatenate([part for t in threshold_sets for part in (t, padding)])

    @staticmethod
    def _bins(t: Float32) -> int:
        if t.size < 2:
            return 1
        finest = float(np.diff(t.astype(np.float64)).min())
        wanted = float(np.ptp(t.astype(np.float64))) / max(finest, 1e-30) * 1.05 + 2
        return int(min(_MAX_BINS, max(wanted, 4)))

    def _fill(self, i: int, t: Float32, first: int, bins: int) -> int:
        """Tables of one set; the most thresholds that one of its bins holds."""
        span = float(t[-1]) - float(t[0])
        self._scale[i] = (bins - 1) / span if span > 0 else 0.0
        self._offset[i] = np.float32(first + 0.5 - float(t[0]) * float(self._scale[i]))
        at = self._bin(t, self._taken(np.full(t.size, i))) - first
        below = np.searchsorted(at, np.arange(bins), side="left")  # thresholds in lower bins
        held = np.searchsorted(at, np.arange(bins), side="right") - below
        self._below[first : first + bins] = below
        self._threshold[first : first + bins] = np.where(held > 0, t[np.minimum(below, t.size - 1)], np.inf)
        return int(held.max())

    def tiles(self, sets: NDArray[np.integer]) -> Tiles:
        """Constants of elements that use the threshold sets `sets` (any 1-D index array)."""
        few = tuple(row.take(sets) for row in self._few)
        return Tiles(*self._taken(sets), self._first_threshold.take(sets), few)

    def _taken(self, sets: NDArray[np.integer]) -> tuple[Float32, Float32, Float32, Float32]:
        return self._scale.take(sets), self._offset.take(sets), self._first_bin.take(sets), self._last_bin.take(sets)

    @staticmethod
    def _bin(x: Float32, constants: tuple[Float32, Float32, Float32, Float32]) -> NDArray[np.int64]:
        scale, offset, first_bin, last_bin = constants
        y = x * scale
        y += offset
        np.maximum(y, first_bin, out=y)
        np.minimum(y, last_bin, out=y)
        return y.astype(np.int64)

    def codes(self, x: Float32, tiles: Tiles) -> NDArray[np.uint16]:
        """Codes #{t < x} of finite float32 `x` (rows, tile) against the sets that `tiles` names."""
        find = self._compare if tiles.few else self._search
        rows = max(1, _BLOCK // x.shape[1])
        if rows >= x.shape[0]:
            return find(x, tiles)
        found = np.empty(x.shape, np.uint16)
        for first in range(0, x.shape[0], rows):
            found[first : first + rows] = find(x[first : first + rows], tiles)
        return found

    def _compare(self, x: Float32, tiles: Tiles) -> NDArray[np.uint16]:
        above = (x > tiles.few[0]).view(np.uint8)
        for thresholds in tiles.few[1:]:
            above += (x > thresholds).view(np.uint8)
        return above.astype(np.uint16)

    def _search(self, x: Float32, tiles: Tiles) -> NDArray[np.uint16]:
        at = self._bin(x, (tiles.scale, tiles.offset, tiles.first_bin, tiles.last_bin))
        found = self._below.take(at)
        if not self._strides:
            found += np.greater(x, self._threshold.take(at)).view(np.uint8)
            return found
        for stride in self._strides:
            place = found + tiles.first_threshold
            place += stride - 1
            found += np.greater(x, self._thresholds.take(place)).view(np.uint8) * np.uint8(stride)
        return found
