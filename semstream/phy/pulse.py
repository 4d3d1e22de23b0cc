"""Root-raised-cosine pulses: symbols to samples of a limited band, and the matched filter at any fraction of a sample.

    symbols ─ √RC ─► samples, several a symbol ─ channel ─ √RC, at the time found ─► symbols without interference

A pulse has unit energy, so that Es/N0 of the symbols is that of the samples' noise: N0 a sample, whatever their rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.phy.errors import PhyError

Complex64 = NDArray[np.complex64]
Complex128 = NDArray[np.complex128]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Pulse:
    """A root-raised-cosine pulse (Proakis and Salehi, Digital Communications, Section 9.2).

    Parameters
    ----------
    samples_per_symbol
        2 or more.
    rolloff
        Bandwidth beyond the symbol rate as a share of it, above 0 up to 1.
    span
        Symbols to either side of the middle at which the pulse is cut off.

    Raises
    ------
    PhyError
        For another pulse.
    """

    samples_per_symbol: int = 2
    rolloff: float = 0.25
    span: int = 8

    def __post_init__(self) -> None:
        if not (2 <= self.samples_per_symbol <= 64 and 0 < self.rolloff <= 1 and 2 <= self.span <= 64):
            raise PhyError(
                f"pulse: expected 2 to 64 samples a symbol, a roll-off above 0 up to 1 and a span of 2 to 64 symbols, "
                f"got {self.samples_per_symbol}, {self.rolloff:g} and {self.span}"
            )

    @property
    def reach(self) -> int:
        """Samples to either side of its middle."""
        return self.span * self.samples_per_symbol

    def taps(self, delay: float = 0.0) -> Float64:
        """Samples (2·reach + 1,) of the pulse, later by `delay` samples, less than one."""
        time = (np.arange(-self.reach, self.reach + 1) - delay) / self.samples_per_symbol
        return root_raised_cosine(time, self.rolloff) / math.sqrt(self.samples_per_symbol)

    def shaped(self, symbols: Complex64) -> Complex64:
        """Samples (N·samples_per_symbol + 2·reach,); the middle of the first symbol is at `reach`."""
        from scipy.signal import upfirdn

        whole = np.asarray(upfirdn(self.taps(), symbols, up=self.samples_per_symbol))
        samples = np.zeros(symbols.size * self.samples_per_symbol + 2 * self.reach, np.complex64)
        samples[: whole.size] = whole
        return samples

    def matched(self, samples: NDArray[np.complexfloating], start: float, count: int) -> Complex128:
        """Symbols (count,) by the matched filter, the first one's middle at `start`, in samples.

        The samples reach from `reach` before the first to `reach` + 1 behind the last; `margin` says so in one number.
        """
        base = math.floor(start)
        first = base - self.reach
        windows = np.lib.stride_tricks.sliding_window_view(samples[first:], 2 * self.reach + 1)
        return np.asarray(windows[:: self.samples_per_symbol][:count] @ self.taps(start - base), np.complex128)

    @property
    def margin(self) -> int:
        """Samples that `matched` needs beyond the symbols' middles, on either side."""
        return self.reach + 1


def root_raised_cosine(time: Float64, rolloff: float) -> Float64:
    """The pulse of unit energy at times in symbols."""
    at = np.asarray(time, np.float64)
    edge = 1 / (4 * rolloff)
    middle, corner = np.abs(at) < 1e-9, np.abs(np.abs(at) - edge) < 1e-9
    safe = np.where(middle | corner, 0.5 * edge, at)
    value = (np.sin(np.pi * safe * (1 - rolloff)) + 4 * rolloff * safe * np.cos(np.pi * safe * (1 + rolloff))) / (
        np.pi * safe * (1 - (4 * rolloff * safe) ** 2)
    )
    angle = np.pi * edge
    at_corner = rolloff / math.sqrt(2) * ((1 + 2 / np.pi) * math.sin(angle) + (1 - 2 / np.pi) * math.cos(angle))
    return np.where(middle, 1 - rolloff + 4 * rolloff / np.pi, np.where(corner, at_corner, value))
