"""Looking for preambles in a stream of samples: where a frame starts, to a part of a sample, and how it turns.

    samples ─ √RC ─ correlate in segments, every half symbol ─► first peak ─ periodogram ─ Gauss-Newton ─► start, turn

A window of the stream is searched at a time. Windows follow from where the search began and not from how the samples
came, so that any cut of the stream into chunks gives the same frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.pulse import Pulse
from semstream.phy.synchronisation import SEGMENT, THRESHOLD, tone
from semstream.phy.waveform import known_symbols

WINDOW = 256
"""Symbols in which a start is looked for at a time."""
_FINE = 64  # places a symbol at which the template is known; between them it is taken to be straight
_ROUNDS = 4
_EDGE = 6  # last symbols of the preamble, into which what follows rings
_QUIET = 1e-6  # share of the window's mean power below which there is nothing to be heard

Complex128 = NDArray[np.complex128]


class Sighting(NamedTuple):
    """A preamble that was found.

    Attributes
    ----------
    start
        Of the middle of its first symbol, in samples from where the search began.
    frequency
        By how much it turns, in cycles a sample.
    strength
        Share of the power under it that it is.
    """

    start: float
    frequency: float
    strength: float


class PreambleSearch:
    """Searches windows of samples for the preamble of `length` known symbols."""

    def __init__(self, pulse: Pulse, length: int, threshold: float = THRESHOLD) -> None:
        self._pulse = pulse
        self._length = length
        self._threshold = threshold
        self._known = known_symbols(length).astype(np.complex128)
        self._segments = self._known.reshape(-1, SEGMENT)
        self._taps = pulse.taps()
        self._phases = range(0, pulse.samples_per_symbol, max(1, pulse.samples_per_symbol // 2))
        self._template, self._slope = self._templates()

    @property
    def window(self) -> int:
        """Samples by which the search goes on where there is no preamble."""
        return WINDOW * self._pulse.samples_per_symbol

    @property
    def before(self) -> int:
        """Samples that `search` needs before the window."""
        return self._pulse.reach

    @property
    def needed(self) -> int:
        """Samples from the window's start that `search` needs."""
        # A peak may lie anywhere within a preamble's length behind the first place that looks like one.
        return (WINDOW + 2 * self._length + 2) * self._pulse.samples_per_symbol + self._pulse.reach

    def search(self, samples: NDArray[np.complexfloating]) -> Sighting | None:
        """The first preamble that starts in a window; None if there is none.

        Parameters
        ----------
        samples
            (before + needed,) complex, finite.
        """
        rate = self._pulse.samples_per_symbol
        matched = np.asarray(np.convolve(samples.astype(np.complex128), self._taps, "valid"), np.complex128)
        size = WINDOW + 2 * self._length
        strengths = np.stack([self._strengths(matched[phase::rate][:size]) for phase in self._phases], axis=1)
        flat = strengths.reshape(-1)
        above = np.flatnonzero(flat[: WINDOW * len(self._phases)] >= self._threshold)
        if not above.size:
            return None
        first = int(above[0])
        best = first + int(np.argmax(flat[first : first + self._length * len(self._phases)]))
        symbol, phase = divmod(best, len(self._phases))
        place = symbol * rate + self._phases[phase]
        heard = matched[place : place + self._length * rate : rate]
        frequency = tone(heard * np.conj(self._known)) / rate
        start, frequency = self._refined(matched, place, frequency)
        return Sighting(start, frequency, float(flat[best]))

    def _strengths(self, symbols: Complex128) -> NDArray[np.float64]:
        """Share of the power that is the preamble's, at each place where it fits."""
        windows = np.lib.stride_tricks.sliding_window_view(symbols, SEGMENT)
        found = np.abs(windows @ np.conj(self._segments).T) ** 2
        places = symbols.size - self._length + 1
        total = np.zeros(places)
        for number in range(len(self._segments)):
            total += found[number * SEGMENT : number * SEGMENT + places, number]
        running = np.concatenate([[0.0], np.cumsum(np.abs(symbols) ** 2)])
        energy = running[self._length :] - running[:places]
        floor = _QUIET * running[-1] / symbols.size * self._length + 1e-30
        return np.asarray(total / SEGMENT / np.maximum(energy, floor))

    def _templates(self) -> tuple[Complex128, Complex128]:
        """The preamble behind both filters and its slope in time, `_FINE` places a symbol, from 2 symbols before it."""
        time = np.arange(-2 * _FINE, (self._length + 2) * _FINE) / _FINE
        pulse, step = self._pulse, 1e-3

        def at(shift: float) -> Complex128:
            # Through the matched filter a pulse is a raised cosine, here of two cut √RC pulses as they are.
            span = np.arange(-2 * pulse.span * _FINE, 2 * pulse.span * _FINE + 1) / _FINE + shift
            one = _raised_cosine(span, pulse.rolloff)
            spread = np.zeros((self._length - 1) * _FINE + 1, np.complex128)
            spread[::_FINE] = self._known
            whole = np.convolve(spread, one)
            first = 2 * pulse.span * _FINE - 2 * _FINE
            return whole[first : first + time.size]

        return at(0.0), (at(step) - at(-step)) / (2 * step)

    def _refined(self, matched: Complex128, place: int, frequency: float) -> tuple[float, float]:
        """Start and frequency by Gauss-Newton on y(n) ≈ g·exp(2πi f n)·p(n − τ)."""
        rate = self._pulse.samples_per_symbol
        used = np.arange((self._length - _EDGE) * rate)
        heard, centre, shift = matched[place + used], used.mean(), 0.0  # shift in symbols
        for _ in range(_ROUNDS):
            turn = np.exp(2j * np.pi * frequency * (used - centre))
            fine = (used / rate - shift + 2) * _FINE
            below = np.floor(fine).astype(np.intp)
            part = fine - below
            model = turn * ((1 - part) * self._template[below] + part * self._template[below + 1])
            slope = turn * self._slope[below]
            gain = np.vdot(model, heard) / np.vdot(model, model).real
            columns = np.stack([model, 1j * model, -gain * slope, gain * model * 2j * np.pi * (used - centre)], axis=1)
            left = heard - gain * model
            change = np.linalg.lstsq(
                np.concatenate([columns.real, columns.imag]), np.concatenate([left.real, left.imag]), rcond=None
            )[0]
            shift = float(np.clip(shift + change[2], -1, 1))
            frequency += float(np.clip(change[3], -1 / used.size, 1 / used.size))
        return place + shift * rate, frequency


def _raised_cosine(time: NDArray[np.float64], rolloff: float) -> NDArray[np.float64]:
    """The raised cosine of unit height at times in symbols."""
    corner = np.abs(np.abs(2 * rolloff * time) - 1) < 1e-9
    safe = np.where(corner, 0.0, time)
    value = np.sinc(safe) * np.cos(np.pi * rolloff * safe) / (1 - (2 * rolloff * safe) ** 2)
    return np.where(corner, np.pi / 4 * np.sinc(1 / (2 * rolloff)), value)
