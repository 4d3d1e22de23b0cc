"""What oscillators and clocks of two radios do to a burst: frequency offset, phase noise, and when it starts.

Samples are one a symbol, of a pulse without excess bandwidth (sinc), so that a delay by a part of a sample is a turn in
the frequency domain and loses nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import ChannelError

GUARD = 16
"""Silent samples on both sides of a burst in a capture, into which a delayed pulse rings."""

Complex128 = NDArray[np.complex128]


@dataclass(frozen=True)
class Impairments:
    """Settings.

    Attributes
    ----------
    frequency_offset
        Carrier frequency offset in cycles a channel use (of the symbol rate), −0.5 to 0.5.
    phase_noise
        Variance of the phase's step from one channel use to the next, in rad²: 2π times the linewidth over the symbol
        rate, a Wiener process.
    timing_offset
        Latest start of the burst in channel uses; drawn uniformly a frame, with its part of a sample.
    """

    frequency_offset: float = 0.0
    phase_noise: float = 0.0
    timing_offset: float = 0.0

    def __post_init__(self) -> None:
        if not -0.5 <= self.frequency_offset <= 0.5:
            raise ChannelError(
                f"frequency_offset: expected -0.5 to 0.5 cycles a channel use, got {self.frequency_offset}"
            )
        if not 0 <= self.phase_noise <= 1:
            raise ChannelError(f"phase_noise: expected a variance of 0 to 1 rad² a channel use, got {self.phase_noise}")
        if not 0 <= self.timing_offset <= 1e6:
            raise ChannelError(f"timing_offset: expected 0 to 10⁶ channel uses, got {self.timing_offset}")

    def __bool__(self) -> bool:
        return bool(self.frequency_offset or self.phase_noise or self.timing_offset)

    def capture_size(self, burst: int) -> int:
        """Samples that a receiver must listen to, to have the whole of a burst wherever it starts."""
        return burst + math.ceil(self.timing_offset) + 2 * GUARD


class Impaired(NamedTuple):
    """A capture, and what nobody tells the receiver: when the burst starts, and the turn of each sample."""

    samples: Complex128
    start: float
    turn: Complex128


def impair(burst: NDArray[np.complexfloating], impairments: Impairments, rng: np.random.Generator) -> Impaired:
    """A capture, without noise yet, in which a burst starts late and turns.

    Parameters
    ----------
    burst
        (N,) complex.
    rng
        Draws the start, the phase and the phase noise, as many numbers whatever their size.

    Returns
    -------
    Impaired
        ``samples`` and ``turn`` (M,), M = `Impairments.capture_size`; ``start`` in samples.
    """
    size = impairments.capture_size(burst.size)
    start = GUARD + float(rng.uniform()) * impairments.timing_offset
    phase = float(rng.uniform(0, 2 * np.pi))
    steps = rng.standard_normal(size) * math.sqrt(impairments.phase_noise)
    capture = np.zeros(size, np.complex128)
    capture[: burst.size] = burst
    turn = np.exp(1j * (2 * np.pi * impairments.frequency_offset * np.arange(size) + phase + np.cumsum(steps)))
    return Impaired(delayed(capture, start) * turn, start, turn)


def delayed(samples: NDArray[np.complexfloating], delay: float) -> Complex128:
    """Samples later by `delay` of them, any real number; what leaves at one end comes in at the other."""
    if delay == round(delay):
        return np.roll(np.asarray(samples, np.complex128), int(delay))
    frequencies = np.fft.fftfreq(samples.size)
    return np.asarray(np.fft.ifft(np.fft.fft(samples) * np.exp(-2j * np.pi * frequencies * delay)), np.complex128)
