"""Finding a burst in a capture: where its preamble starts, and by how much it turns.

    capture ─ correlate with the preamble in segments ─► start ─ periodogram ─► frequency ─ Gauss-Newton ─► both, finer
            ─ turn back, shift back, cut ─► burst at a gain that pilots tell

`acquire` needs no channel knowledge, only a gain that holds still over the preamble.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.impairments import delayed

SEGMENT = 16
"""Symbols that are correlated as one: a frequency offset up to a third of 1/16 leaves the correlation standing."""
THRESHOLD = 0.3
"""Least share of the power under the preamble that must be the preamble; noise alone has 1/16 on average."""
_EDGE = 8  # last symbols of the preamble, into which what follows it rings
_ROUNDS = 4

Complex = NDArray[np.complexfloating]
Complex128 = NDArray[np.complex128]


class Acquisition(NamedTuple):
    """What a receiver has found in a capture.

    Attributes
    ----------
    found
        Whether there was a preamble at all.
    start
        When the burst starts, in samples.
    frequency
        By how much it turns, in cycles a sample.
    strength
        Share of the power under the preamble that is the preamble, 0 to 1.
    """

    found: bool
    start: float
    frequency: float
    strength: float


def acquire(capture: Complex, preamble: Complex, threshold: float = THRESHOLD) -> Acquisition:
    """Find a burst by its preamble.

    Correlations over segments of the preamble are added without their phases, which an unknown frequency would spoil;
    the largest share of the power there, on the samples or half-way between them, is the start. A capture that is
    shorter than the preamble, all zero or not finite holds none.

    Parameters
    ----------
    capture
        (M,) complex.
    preamble
        (L,) complex, known symbols at the start of the burst.
    threshold
        Least `Acquisition.strength` that counts as found.
    """
    length = preamble.size
    if capture.size < length or not np.isfinite(capture).all():
        return Acquisition(False, 0.0, 0.0, 0.0)
    whole = np.asarray(capture, np.complex128)
    matches = []
    for shift in (0.0, 0.5):  # half-way between two samples neither would show more than 40 % of the preamble's power
        samples = delayed(whole, -shift) if shift else whole
        strengths = _strengths(samples, preamble)
        coarse = int(np.argmax(strengths))
        matches.append((float(strengths[coarse]), shift, coarse, samples))
    strength, shift, coarse, samples = max(matches, key=lambda match: match[0])
    if not strength >= threshold:
        return Acquisition(False, coarse + shift, 0.0, strength)
    frequency = tone(samples[coarse : coarse + length] * np.conj(preamble))
    start, frequency = _refined(whole, np.asarray(preamble, np.complex128), coarse, shift, frequency)
    return Acquisition(True, start, frequency, strength)


def _strengths(samples: Complex128, preamble: Complex) -> NDArray[np.float64]:
    """Share of the power that is the preamble's, at each place where it fits: a strong fade later is no likelier."""
    places = samples.size - preamble.size + 1
    total = np.zeros(places)
    for begin in range(0, preamble.size, SEGMENT):
        part = preamble[begin : begin + SEGMENT]
        correlation = np.correlate(samples[begin : begin + places + part.size - 1], part, "valid")
        total += np.abs(correlation) ** 2 / float(np.sum(np.abs(part) ** 2))
    running = np.concatenate([[0.0], np.cumsum(np.abs(samples) ** 2)])
    energy = running[preamble.size :] - running[:places]
    return np.asarray(total / np.maximum(energy, 1e-6 * running[-1] / samples.size * preamble.size + 1e-30))


def aligned(capture: Complex, start: float, frequency: float, size: int) -> Complex128:
    """The burst (size,) in a capture: turned back by the frequency, and shifted back by the start."""
    still = np.asarray(capture, np.complex128) * np.exp(-2j * np.pi * frequency * np.arange(capture.size))
    return delayed(still, -start)[:size]


def tone(values: Complex) -> float:
    """Frequency of a complex exponential in white noise, in cycles a sample, −0.5 to 0.5: maximum likelihood.

    The peak of the periodogram, from a transform four times as long, refined by Newton's method. Above the threshold
    SNR of the search its variance is that of `frequency_bound` (Rife and Boorstyn, IEEE Trans. Inf. Theory 20, 1974).

    Parameters
    ----------
    values
        (N,) complex, or (B, N): pieces of one frequency whose gains have nothing to do with each other, filled up with
        zeros. Fewer than two have no frequency: 0.
    """
    values = np.atleast_2d(values)
    count = values.shape[1]
    if count < 2:
        return 0.0
    size = 4 * 2 ** math.ceil(math.log2(count))
    spectrum = np.sum(np.abs(np.fft.fft(values, size)) ** 2, axis=0)
    frequency = float(np.fft.fftfreq(size)[int(np.argmax(spectrum))])
    n = np.arange(count) - (count - 1) / 2
    for _ in range(_ROUNDS):
        still = values * np.exp(-2j * np.pi * frequency * n)
        moments = [np.sum(still * (-2j * np.pi * n) ** order, axis=1) for order in range(3)]
        slope = float(np.sum(2 * (moments[1] * np.conj(moments[0])).real))
        curve = float(np.sum(2 * (moments[2] * np.conj(moments[0])).real + 2 * np.abs(moments[1]) ** 2))
        if not curve < 0:
            break
        frequency -= float(np.clip(slope / curve, -0.5 / size, 0.5 / size))
    return (frequency + 0.5) % 1 - 0.5


def frequency_bound(count: int, snr: float) -> float:
    """Cramér-Rao bound of `tone`: least variance in (cycles a sample)², at SNR |A|²/σ² (linear) of N samples.

    6 / ((2π)² · SNR · N(N² − 1)), with phase and amplitude unknown.
    """
    return 6 / ((2 * math.pi) ** 2 * snr * count * (count**2 - 1))


def _refined(
    samples: Complex128, preamble: Complex128, start: int, shift: float, frequency: float
) -> tuple[float, float]:
    """Start, near `start` + `shift`, and frequency by Gauss-Newton on y(n) ≈ g·exp(2πi f n)·p(n − τ), p rings.

    Symbols behind the preamble ring into its end, which is left out.
    """
    length = preamble.size
    used = np.arange(max(length - _EDGE, min(length, 2 * _EDGE)))
    if start + used.size > samples.size:
        return start + shift, frequency
    heard = samples[start + used]
    step, centre = 1e-4, used.mean()

    def ringing(at: float) -> Complex128:
        return np.asarray(np.sinc(used[:, None] - np.arange(length) - at) @ preamble, np.complex128)

    for _ in range(_ROUNDS):
        turn = np.exp(2j * np.pi * frequency * (used - centre))
        model, model_slope = turn * ringing(shift), turn * (ringing(shift + step) - ringing(shift - step)) / (2 * step)
        gain = np.vdot(model, heard) / np.vdot(model, model).real
        columns = np.stack([model, 1j * model, gain * model_slope, gain * model * 2j * np.pi * (used - centre)], axis=1)
        left = heard - gain * model
        real = np.concatenate([columns.real, columns.imag])
        change = np.linalg.lstsq(real, np.concatenate([left.real, left.imag]), rcond=None)[0]
        shift = float(np.clip(shift + change[2], -1, 1.5))
        frequency += float(np.clip(change[3], -1 / length, 1 / length))
    return start + shift, frequency
