"""Pilots in the stream: where they stand, and what of a received stream is pilot and what is symbol.

symbols ─ insert ─► | p s s s s s s s s s | p s s s … ─► channel ─► pilots (T, P) ─► estimate
                    └──────  tile  ──────┘                     └──► symbols (N,)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import ChannelError
from semstream.phy.waveform import known_symbols

Complex64 = NDArray[np.complex64]
_STAGGER = (0, 1 / 2, 1 / 4, 3 / 4)  # of the way to the next pilot, in four OFDM symbols in turn


@dataclass(frozen=True)
class PilotPattern:
    """Tiles of `width` channel uses, of which those at `offsets` are pilots of unit power.

    Attributes
    ----------
    width
        Channel uses of a tile.
    offsets
        Which of them are pilots, rising.
    ofdm
        A tile is an OFDM symbol and its uses are subcarriers; the last one is sent whole, with silence on subcarriers
        that are not needed. Without it a tile is a stretch of time.
    cyclic_prefix
        Samples before an OFDM symbol.
    shifts
        By how much the pilots of a tile stand further, round the tile, in turn: staggered over OFDM symbols they tell
        of more subcarriers than one symbol's.
    """

    width: int
    offsets: tuple[int, ...] = (0,)
    ofdm: bool = False
    cyclic_prefix: int = 0
    shifts: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        inside = sorted(set(self.offsets)) == list(self.offsets) and 0 <= self.offsets[0] <= self.offsets[-1]
        if not inside or not 0 < len(self.offsets) < self.width or self.offsets[-1] >= self.width:
            raise ChannelError(
                f"pilots: expected rising places in {self.width} channel uses and room beside them, got {self.offsets}"
            )

    @property
    def share(self) -> float:
        """Pilots of all channel uses, in whole tiles."""
        return len(self.offsets) / self.width

    @property
    def period(self) -> int:
        """Time from one tile to the next, in samples."""
        return self.width + self.cyclic_prefix

    def tiles(self, count: int) -> int:
        """Tiles that `count` symbols take."""
        return -(-count // (self.width - len(self.offsets)))

    def uses(self, count: int) -> int:
        """Channel uses of `count` symbols with their pilots."""
        return count + self.tiles(count) * len(self.offsets) + self._closing(count)

    def _closing(self, count: int) -> int:
        """One pilot more behind the last symbol of a stretch of time: a fade that begins in the last tile is heard."""
        return int(count > 0 and not self.ofdm)

    def size(self, count: int) -> int:
        """Length of the stream: `uses`, and the silent subcarriers of the last OFDM symbol."""
        return self.tiles(count) * self.width if self.ofdm else self.uses(count)

    def columns(self, tiles: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where in each of some tiles (T,) its pilots stand, (T, P), rising."""
        shift = np.array(self.shifts)[tiles % len(self.shifts)]
        return np.sort((np.array(self.offsets) + shift[:, None]) % self.width, axis=1)

    def pilot_places(self, count: int) -> NDArray[np.intp]:
        """Places (T, P) of the pilots in the stream of `count` symbols; in time also (1, P) of the one behind them."""
        tiles = np.arange(self.tiles(count))
        places = tiles[:, None] * self.width + self.columns(tiles)
        if self._closing(count):
            places = np.concatenate([places, np.full((1, len(self.offsets)), self.size(count) - 1)])
        return places

    def symbol_places(self, count: int) -> NDArray[np.intp]:
        """Places (count,) of the symbols in the stream."""
        tiles = np.arange(self.tiles(count))
        free = np.ones((tiles.size, self.width), bool)
        free[tiles[:, None], self.columns(tiles)] = False
        return np.flatnonzero(free)[:count]

    def insert(self, symbols: Complex64) -> Complex64:
        """The stream (size,) of symbols (N,) with pilots among them."""
        stream = np.zeros(self.size(symbols.size), np.complex64)
        places = self.pilot_places(symbols.size)
        stream[places] = known_symbols(places.size).reshape(places.shape)
        stream[self.symbol_places(symbols.size)] = symbols
        return stream

    def gains(self, stream: Complex64, count: int) -> NDArray[np.complex128]:
        """Least-squares gain y/p of each of `pilot_places`: the channel's gain, and noise of the same variance σ²."""
        places = self.pilot_places(count)
        known = known_symbols(places.size).reshape(places.shape)
        return np.asarray(stream[places] * np.conj(known), np.complex128)


def comb(share: float) -> PilotPattern:
    """One pilot first in every 1/share channel uses.

    Raises
    ------
    ChannelError
        If `share` is not above 0 and at most a half.
    """
    _check(share)
    return PilotPattern(max(2, round(1 / share)))


def subcarrier_comb(share: float, subcarriers: int, cyclic_prefix: int) -> PilotPattern:
    """Pilots on evenly spaced subcarriers of every OFDM symbol, at least one; on others in each of four in turn.

    Raises
    ------
    ChannelError
        If `share` is not above 0 and at most a half, or there are fewer than two subcarriers.
    """
    _check(share)
    if subcarriers < 2:
        raise ChannelError(f"pilots: expected at least 2 subcarriers to put pilots among, got {subcarriers}")
    number = min(max(1, round(share * subcarriers)), subcarriers // 2)
    offsets = tuple(i * subcarriers // number for i in range(number))
    shifts = tuple(int(part * subcarriers / number) for part in _STAGGER)
    return PilotPattern(subcarriers, offsets, ofdm=True, cyclic_prefix=cyclic_prefix, shifts=shifts)


def _check(share: float) -> None:
    if not 0 < share <= 0.5:
        raise ChannelError(f"pilots: expected a share of channel uses above 0 and at most 0.5, got {share:g}")
