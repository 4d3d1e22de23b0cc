"""How a frame's symbols become the samples of a burst, and how the receiver finds the channel from them.

Three waveforms, for what the channel between them does:

- `Plain`: the symbols as they are; the receiver takes the gain to be 1. For additive noise alone.
- `PilotComb`: a known pilot before every few symbols; gain and frequency offset from the pilots. For flat fading.
- `Preamble`: known symbols first and silence last; the impulse response from the preamble, equalised over the whole
  burst at once. For multipath that holds still for a burst.

The noise power is taken as known; what the estimate of the channel adds to it is told to the decoder as noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from semstream.phy.channel import Reception
from semstream.phy.equalizer import NOISE_CAP

STRONGEST = 16.0
"""Power of the strongest symbols, of unit mean power, that an estimate is believed."""

Symbols = NDArray[np.complex64]
Mask = NDArray[np.bool_]


class Waveform(Protocol):
    """Symbols to samples and back."""

    def overhead(self, count: int) -> int:
        """Channel uses beside those of `count` symbols."""

    def modulate(self, symbols: Symbols) -> Symbols:
        """Samples (N + overhead,) of N symbols."""

    def receive(self, samples: Symbols, good: Mask, count: int, noise_variance: float) -> Reception:
        """The `count` symbols in received samples.

        Parameters
        ----------
        samples
            (count + overhead,) complex64.
        good
            (count + overhead,) which of them are to be trusted; a symbol on another has a gain of 0.
        count
            Symbols that were sent.
        noise_variance
            σ² of the complex noise on a sample.
        """


@dataclass(frozen=True)
class Plain:
    """The symbols as they are; the receiver takes the gain to be 1."""

    def overhead(self, count: int) -> int:
        """None."""
        return 0

    def modulate(self, symbols: Symbols) -> Symbols:
        """The symbols."""
        return symbols

    def receive(self, samples: Symbols, good: Mask, count: int, noise_variance: float) -> Reception:
        """The samples, with a gain of 1 where they are good."""
        return Reception(samples, good.astype(np.complex64), np.full(count, noise_variance, np.float32))


@dataclass(frozen=True)
class PilotComb:
    """A pilot before every `spacing` symbols and one behind the last.

    The frequency offset is read from the turn between pilots, which is unambiguous up to half a turn from one to the
    next: an offset of 1/(2(spacing + 1)) of the symbol rate. Turned back, lines are fitted through the
    least-squares gains of `smoothing` pilots around each, and interpolated linearly.

    Parameters
    ----------
    spacing
        Symbols between two pilots.
    smoothing
        Pilots through which a line is fitted, an odd number: over as many the gain must change no faster than a line.
    """

    spacing: int = 16
    smoothing: int = 31

    def __post_init__(self) -> None:
        if self.spacing < 1 or self.smoothing < 1 or self.smoothing % 2 == 0:
            raise ValueError(
                f"pilots: expected a spacing of at least 1 and a smoothing over an odd number, got {self.spacing} and "
                f"{self.smoothing}"
            )

    def overhead(self, count: int) -> int:
        """A pilot every `spacing` symbols, and one more."""
        return -(-count // self.spacing) + 1

    def places(self, count: int) -> NDArray[np.intp]:
        """Where the pilots stand among `count` symbols."""
        pilots = np.arange(self.overhead(count)) * (self.spacing + 1)
        pilots[-1] = count + self.overhead(count) - 1
        return pilots

    def error(self, count: int) -> float:
        """Mean variance of the error of a gain that holds still, as a share of the noise variance."""
        return float(np.mean(_local_lines(np.ones(self.overhead(count), np.complex128), self.smoothing)[1]))

    def modulate(self, symbols: Symbols) -> Symbols:
        """Symbols with pilots among them."""
        places = self.places(symbols.size)
        samples = np.empty(symbols.size + places.size, np.complex64)
        payload = np.ones(samples.size, bool)
        payload[places] = False
        samples[places] = known_symbols(places.size)
        samples[payload] = symbols
        return samples

    def receive(self, samples: Symbols, good: Mask, count: int, noise_variance: float) -> Reception:
        """Symbols, the gains as the pilots show them, and the noise with the error of those gains."""
        places = self.places(count)
        payload = np.ones(samples.size, bool)
        payload[places] = False
        heard = good[places]
        if np.count_nonzero(heard) < 2:
            nothing = np.zeros(count, np.complex64)
            return Reception(nothing, nothing, np.full(count, NOISE_CAP, np.float32))
        gains = np.where(heard, samples[places] * np.conj(known_symbols(places.size)), 0)
        angle = _turn(gains[:-1]) / (self.spacing + 1)  # the last stands closer
        steady = gains[heard] * np.exp(-1j * angle * places[heard])
        at = np.flatnonzero(payload)
        smooth, error = _local_lines(np.interp(places, places[heard], steady), self.smoothing)
        csi = np.interp(at, places, smooth) * np.exp(1j * angle * at)
        csi = np.where(good[payload], csi, 0)
        return heard_through(samples[payload], csi, np.interp(at, places, error), noise_variance)


@dataclass(frozen=True)
class Preamble:
    """Known symbols first, silence last: the channel by least squares, then an MMSE equaliser over the whole burst.

    The silence makes the linear convolution of multipath a circular one, so that the equaliser is a division in the
    frequency domain. It has no answer to a gain or phase that turns within a burst, nor to samples that are missing: a
    burst with any is given up.

    Parameters
    ----------
    length
        Symbols of the preamble.
    taps
        Longest impulse response in samples.
    """

    length: int = 128
    taps: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.taps <= self.length // 2:
            raise ValueError(
                f"preamble: expected at least two symbols a tap, got {self.length} symbols for {self.taps} taps"
            )

    def overhead(self, count: int) -> int:
        """The preamble, and as much silence as an echo lasts."""
        return self.length + self.taps - 1

    def modulate(self, symbols: Symbols) -> Symbols:
        """Preamble, symbols, silence."""
        silence = np.zeros(self.taps - 1, np.complex64)
        return np.concatenate([known_symbols(self.length), symbols, silence])

    def estimate(self, samples: Symbols) -> NDArray[np.complex128]:
        """The impulse response (taps,) by least squares from the start of a burst, before which there was silence."""
        known = known_symbols(self.length)
        delayed = np.zeros((self.length, self.taps), np.complex128)
        for delay in range(self.taps):
            delayed[delay:, delay] = known[: self.length - delay]
        return np.asarray(np.linalg.lstsq(delayed, samples[: self.length], rcond=None)[0])

    def receive(self, samples: Symbols, good: Mask, count: int, noise_variance: float) -> Reception:
        """Symbols equalised to a gain of 1, with the noise and interference that are left."""
        nothing = Reception(
            np.zeros(count, np.complex64), np.zeros(count, np.complex64), np.full(count, NOISE_CAP, np.float32)
        )
        if not good.all():
            return nothing
        from scipy.fft import fft, ifft, next_fast_len

        variance = noise_variance * (1 + self.taps / self.length)
        size = next_fast_len(samples.size)
        response = fft(self.estimate(samples), size)
        power = np.abs(response) ** 2
        # Noise lies on the silence too, the symbols' power does not.
        inverse = power + variance * samples.size / (self.length + count)
        bias = float(np.mean(power / inverse))
        if not bias > 1 / NOISE_CAP:
            return nothing
        whole = ifft(fft(samples, size) * np.conj(response) / inverse)
        symbols = whole[self.length : self.length + count] / bias
        left = min(NOISE_CAP, (1 - bias) / bias)
        return Reception(symbols.astype(np.complex64), np.ones(count, np.complex64), np.full(count, left, np.float32))


def heard_through(
    received: Symbols, csi: NDArray[np.complexfloating], error: NDArray[np.float64], noise_variance: float
) -> Reception:
    """Symbols (N,) and their gains, with the error of the gains told as noise.

    Parameters
    ----------
    error
        (N,) variance of the error of each gain, as a share of `noise_variance`. It turns and scales the symbol, so that
        a strong symbol bears more of it.
    """
    strength = (np.abs(received) ** 2 - noise_variance) / np.maximum(np.abs(csi) ** 2, 1e-9)
    strength = strength.clip(0, STRONGEST)  # in a fade it is not to be told from noise
    variance = np.minimum(noise_variance * (1 + error * strength), NOISE_CAP)
    return Reception(received, csi.astype(np.complex64), variance.astype(np.float32))


def _turn(gains: NDArray[np.complex128]) -> float:
    """Angle from one value to the next: of Σ g_{k+d} g_k* for d = 1, then finer for longer d, as far as they reach."""
    angle = 0.0
    for distance in (1, 4, 16):
        if distance == 1 or gains.size >= 3 * distance:
            steady = gains * np.exp(-1j * angle * np.arange(gains.size))
            angle += float(np.angle(np.sum(steady[distance:] * np.conj(steady[:-distance])))) / distance
    return angle


def _local_lines(values: NDArray[np.complex128], window: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Values (K,) smoothed by lines fitted in windows, and the variance of each for a variance of 1 of the values."""
    window = min(window, values.size - 1 + values.size % 2)
    if window < 3:
        return values, np.ones(values.size)
    half = window // 2
    steps = np.arange(-half, half + 1)
    fitted = np.empty_like(values)
    fitted[half : values.size - half] = np.convolve(values, np.full(window, 1 / window), "valid")
    for ends, mean, side in (
        (values[:window], fitted[half], slice(half)),
        (values[-window:], fitted[-half - 1], slice(-half, None)),
    ):
        fitted[side] = mean + np.sum(steps * ends) / np.sum(steps**2) * steps[side]
    away = np.zeros(values.size)
    away[:half], away[-half:] = steps[:half], steps[-half:]
    return fitted, 1 / window + away**2 / np.sum(steps**2)


def known_symbols(count: int) -> Symbols:
    """(count,) QPSK symbols of unit power that both ends know: random, so that a shift of them is told from them."""
    quadrants = np.random.Generator(np.random.PCG64(20)).integers(0, 4, count)
    return np.exp(0.5j * np.pi * (quadrants + 0.5)).astype(np.complex64)
