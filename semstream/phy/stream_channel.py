"""A channel for a stream of samples that does not know of frames: noise also where nothing is sent.

    samples ─ silence of random length before ─ delay ─ gain, frequency offset, phase noise ─ noise ─► samples

The samples are of a limited band (`semstream.phy.pulse`), so that a delay by a part of one is a short filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import ChannelError, noise_power

_REACH = 16  # samples to either side of the delay's filter: its error is below -60 dB up to 0.4 of the sample rate

Samples = NDArray[np.complex64]


@dataclass(frozen=True)
class StreamImpairments:
    """Settings.

    Attributes
    ----------
    snr_db
        Es/N0 in dB of symbols of unit power; ``inf`` is free of noise.
    frequency_offset
        Of the carrier, in cycles a sample, −0.5 to 0.5.
    phase_noise
        Variance of the phase's step from one sample to the next, in rad².
    gain
        Amplitude by which samples and noise are scaled: what a receiver's amplifier does.
    start
        Most samples before the first one; drawn, with a part of a sample, once.
    idle
        Most samples of silence before each further chunk; drawn a chunk.

    Raises
    ------
    ChannelError
        For values that cannot be.
    """

    snr_db: float = math.inf
    frequency_offset: float = 0.0
    phase_noise: float = 0.0
    gain: float = 1.0
    start: int = 0
    idle: int = 0

    def __post_init__(self) -> None:
        noise_power(self.snr_db)
        if not -0.5 <= self.frequency_offset <= 0.5:
            raise ChannelError(f"frequency_offset: expected -0.5 to 0.5 cycles a sample, got {self.frequency_offset}")
        if not 0 <= self.phase_noise <= 1:
            raise ChannelError(f"phase_noise: expected a variance of 0 to 1 rad² a sample, got {self.phase_noise}")
        if not 0 < self.gain < 1e6:
            raise ChannelError(f"gain: expected a positive amplitude below 10⁶, got {self.gain}")
        if not (0 <= self.start <= 2**24 and 0 <= self.idle <= 2**24):
            raise ChannelError(f"start, idle: expected 0 to 2²⁴ samples, got {self.start} and {self.idle}")


class StreamChannel:
    """Takes a stream in chunks and gives what is received of it; state goes on from chunk to chunk.

    Parameters
    ----------
    impairments
        Of the stream.
    rng
        Draws the first phase and the start.
    """

    def __init__(self, impairments: StreamImpairments, rng: np.random.Generator) -> None:
        self._is = impairments
        self._variance = noise_power(impairments.snr_db)
        self._phase = float(rng.uniform(0, 2 * np.pi))
        start = float(rng.uniform()) * impairments.start
        self._lead = int(start)
        self._taps = _delay(start - self._lead)
        self._tail = np.zeros(self._taps.size - 1, np.complex64)

    def through(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """The next chunk (N,) with the silence before it and the noise over both.

        Parameters
        ----------
        rng
            Draws the silence, the phase noise and the noise.
        """
        silence, self._lead = self._lead + int(rng.integers(0, self._is.idle + 1)), 0
        whole = np.concatenate([self._tail, np.zeros(silence, np.complex64), samples])
        self._tail = whole[whole.size - self._tail.size :]
        late = whole if self._taps.size == 1 else np.convolve(whole, self._taps, "valid")
        turn = 2 * np.pi * self._is.frequency_offset * np.arange(1, late.size + 1)
        if self._is.phase_noise:
            turn += np.cumsum(rng.standard_normal(late.size)) * math.sqrt(self._is.phase_noise)
        received = late * np.exp(1j * (self._phase + turn))
        if late.size:
            self._phase = float((self._phase + turn[-1]) % (2 * np.pi))
        if self._variance:
            noise = rng.standard_normal((late.size, 2)) @ np.array([1, 1j])
            received = received + noise * math.sqrt(self._variance / 2)
        return (self._is.gain * received).astype(np.complex64)


def _delay(part: float) -> NDArray[np.float64]:
    """Filter that delays by `_REACH` samples and a part of one; none at all for no part."""
    if part == 0:
        return np.ones(1)
    at = np.arange(-_REACH, _REACH + 1) - part
    return np.asarray(np.sinc(at) * np.kaiser(2 * _REACH + 1, 6.0))
