"""Frames out of an endless stream of samples, whatever the chunks in which it comes.

    search ─► header ─► wait for the body ─► √RC, turned back ─► gain from the pilots, noise from what is known ─► frame
       ▲         │ checksum wrong, or unknown                                                                      │
       └─────────┴─────────────────────────────────────────────────────────────────────────────────────────────────┘

Nothing is known of gain, phase, frequency, timing and noise but what the samples say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.air_frame import AirFormat, AirHeader, UnknownFrameError
from semstream.phy.channel import Reception
from semstream.phy.control import ControlError
from semstream.phy.gain_tracking import track
from semstream.phy.preamble_search import PreambleSearch, Sighting
from semstream.phy.sample_buffer import SampleBuffer
from semstream.phy.synchronisation import SEGMENT
from semstream.phy.waveform import PilotComb, known_symbols

LONGEST = 2**18
"""Most symbols of a body that is believed."""

Samples = NDArray[np.complex64]
Complex128 = NDArray[np.complex128]


@dataclass(frozen=True)
class AirReception:
    """A frame that was received.

    Attributes
    ----------
    header
        What its header said.
    reception
        Its symbols (N,), their gains and the noise on each, scaled to a gain of about 1.
    place
        Sample of the stream at which it starts.
    frequency
        Carrier frequency offset in cycles a symbol.
    snr_db
        Es/N0 as the known symbols show it.
    not_finite
        Samples under it that were no numbers; the symbols there have a gain of 0.
    """

    header: AirHeader
    reception: Reception
    place: float
    frequency: float
    snr_db: float
    not_finite: int


class _Opened(NamedTuple):
    """A frame whose header is read: where it is, its gain there, the noise, what it says, and what is known of it."""

    sighting: Sighting
    gain: complex
    noise_variance: float
    header: AirHeader
    known: Samples


class FrameReceiver:
    """Finds and reads frames in a stream of samples.

    Parameters
    ----------
    form
        As at the sender.
    smoothing
        Pilots through which a line is fitted, an odd number (`waveform.PilotComb`).
    longest
        Most symbols of a body; a header that claims more is not believed.
    modulation
        The one whose frames are read; empty: all that there are.

    Attributes
    ----------
    counts : Counter of str
        ``samples``, ``preambles``, ``frames``, ``headers_lost`` (preambles without a readable header), ``version`` and
        ``modulation`` (frames of others), ``not_finite`` (samples), ``cut`` (a frame that the stream's end cuts).
    refused : str
        Why the last frame of an unknown version or modulation was not read.
    """

    def __init__(self, form: AirFormat, smoothing: int = 63, longest: int = LONGEST, modulation: str = "") -> None:
        self.form = form
        self.counts: Counter[str] = Counter()
        self.refused = ""
        self._smoothing = smoothing
        self._longest = longest
        self._modulation = modulation
        self._search = PreambleSearch(form.pulse, form.preamble)
        # The first frame may begin with the stream, or be taken to begin a little before it.
        self._buffer = SampleBuffer(self._search.before + form.pulse.margin + 4 * form.pulse.samples_per_symbol)
        self._bad: list[int] = []  # places of samples that are no numbers
        self._at = self._quiet_since = 0
        self._opened: _Opened | None = None
        self._sighted: Sighting | None = None

    @property
    def quiet(self) -> int:
        """Samples that were searched since the last frame."""
        return self._at - self._quiet_since

    def feed(self, samples: Samples) -> list[AirReception]:
        """Frames that are complete with these samples (N,), any number of them."""
        good = np.isfinite(samples)
        if not good.all():
            self._bad += (self._buffer.end + np.flatnonzero(~good)).tolist()
            self.counts["not_finite"] += int(np.count_nonzero(~good))
            samples = np.where(good, samples, np.complex64(0))
        self._buffer.append(samples)
        self.counts["samples"] += samples.size
        found: list[AirReception] = []
        while self._advance(found):
            pass
        pending = self._opened.sighting if self._opened is not None else self._sighted
        at = self._at if pending is None else min(self._at, int(pending.start))
        keep = at - self._search.before - self.form.pulse.margin - 1
        self._buffer.forget(keep)
        while self._bad and self._bad[0] < keep:
            del self._bad[0]
        return found

    def finish(self) -> None:
        """The stream has ended: count the frame that it has cut, if it has."""
        if self._sighted is not None or self._opened is not None:
            self.counts["cut"] += 1
            self._sighted = self._opened = None

    def _advance(self, found: list[AirReception]) -> bool:
        """One step; False if it needs samples that are still to come."""
        if self._opened is not None:
            return self._take(self._opened, found)
        if self._sighted is not None:
            return self._open(self._sighted)
        if self._at + self._search.needed > self._buffer.end:
            return False
        sighting = self._search.search(
            self._buffer.view(self._at - self._search.before, self._at + self._search.needed)
        )
        if sighting is None:
            self._at += self._search.window
        else:
            self.counts["preambles"] += 1
            self._sighted = sighting._replace(start=self._at + sighting.start)
            # The search goes on from here if this is none; a true preamble hides no other one in its first symbols.
            self._at = max(self._at, int(self._sighted.start)) + SEGMENT * self.form.pulse.samples_per_symbol
        return True

    def _open(self, sighting: Sighting) -> bool:
        """Read the header."""
        length = self.form.preamble
        if not self._has(sighting, self.form.opening):
            return False
        self._sighted = None
        symbols = self._symbols(sighting, 0, self.form.opening)
        known = known_symbols(length)
        gain, noise = _steady(symbols[:length] * np.conj(known))
        heard = symbols[length:] / (gain if abs(gain) > 0 else 1)
        try:
            header = AirHeader.from_symbols(heard.astype(np.complex64), noise / max(abs(gain) ** 2, 1e-30))
            if header.symbols > self._longest:
                raise ControlError(f"a body of {header.symbols} symbols")
            if self._modulation not in ("", header.modulation):
                what = f"a frame of modulation {header.modulation!r}; {self._modulation!r} is what is read here"
                raise UnknownFrameError("modulation", what)
        except UnknownFrameError as error:
            self.counts[error.what] += 1
            self.refused = str(error)
            return True
        except ControlError:
            self.counts["headers_lost"] += 1
            return True
        known = np.concatenate([known, header.to_symbols()])  # which makes it known, too
        gain, noise = _steady(symbols * np.conj(known))
        self._opened = _Opened(sighting, gain, noise, header, known)
        self._quiet_since = self._at
        return True

    def _take(self, opened: _Opened, found: list[AirReception]) -> bool:
        """Read the body."""
        sighting, gain, noise, header, known = opened
        opening, body = self.form.opening, self.form.body(header)
        if not self._has(sighting, opening + body):
            return False
        self._opened = None
        rate = self.form.pulse.samples_per_symbol
        symbols = (self._symbols(sighting, 0, opening + body) / gain).astype(np.complex64)
        good, bad = self._good(sighting.start, opening + body)
        noise /= abs(gain) ** 2
        comb = PilotComb(header.pilot_spacing, self._smoothing)
        reception = track(symbols, good, known, comb, header.symbols, noise)
        self._at = self._quiet_since = int(sighting.start) + (opening + body) * rate
        self.counts["frames"] += 1
        snr_db = float(-10 * np.log10(max(noise, 1e-10)))
        found.append(AirReception(header, reception, sighting.start, sighting.frequency * rate, snr_db, bad))
        return True

    def _has(self, sighting: Sighting, symbols: int) -> bool:
        end = int(sighting.start) + symbols * self.form.pulse.samples_per_symbol + self.form.pulse.margin
        return end < self._buffer.end

    def _symbols(self, sighting: Sighting, first: int, count: int) -> Complex128:
        """Symbols of a frame, turned back; the phase counts from its start."""
        pulse = self.form.pulse
        start = sighting.start + first * pulse.samples_per_symbol
        begin = int(np.floor(start)) - pulse.margin
        end = int(np.floor(start)) + count * pulse.samples_per_symbol + pulse.margin
        heard = self._buffer.view(begin, end)
        turn = np.exp(-2j * np.pi * sighting.frequency * (np.arange(begin, end) - sighting.start))
        return pulse.matched(heard * turn, start - begin, count)

    def _good(self, start: float, count: int) -> tuple[NDArray[np.bool_], int]:
        """Which symbols have none but numbers next to them, and how many samples under them are no numbers."""
        good = np.ones(count, bool)
        if not self._bad:
            return good, 0
        rate = self.form.pulse.samples_per_symbol
        at = (np.array(self._bad) - start) / rate
        for near in (np.floor(at), np.ceil(at)):
            inside = near[(near >= 0) & (near < count)].astype(np.intp)
            good[inside] = False
        return good, int(np.count_nonzero((at > -1) & (at < count)))


def _steady(values: Complex128) -> tuple[complex, float]:
    """The gain in values that show it, and the noise on them, what moves as a line left out.

    A line and not a mean, for the frequency is not quite known; where it bends, the noise counts what is left.
    """
    steps = np.arange(values.size) - (values.size - 1) / 2
    mean = complex(values.mean())
    slope = complex(np.sum(values * steps) / np.sum(steps**2))
    left = values - mean - slope * steps
    return mean, float(np.sum(np.abs(left) ** 2) / max(1, values.size - 2))
