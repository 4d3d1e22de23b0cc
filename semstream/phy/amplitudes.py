"""Values over a complex channel as amplitudes (PAM): to symbols of a given mean power, and back after equalisation.

values ─ normalize ─ pam_modulate ─▶ symbols, gain … received ─ mmse ─ pam_demodulate ─ 1/gain ─▶ values, noise
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.phy.equalizer import mmse
from semstream.phy.modulation import pam_demodulate, pam_modulate, pam_noise_variance
from semstream.phy.power import normalize


class Sent(NamedTuple):
    """Symbols, complex64 (ceil(n/2),), and the gain that the receiver has to undo."""

    symbols: NDArray[np.complex64]
    gain: float


class Heard(NamedTuple):
    """Values, float32 (n,), and the variance of the noise on each, (n,)."""

    values: NDArray[np.float32]
    noise_variance: NDArray[np.float32]


def to_symbols(values: NDArray[np.float32], power: float = 1.0) -> Sent:
    """Send values as amplitudes, two a symbol.

    Parameters
    ----------
    values : ndarray (n,)
    power : float
        Mean power of the symbols.
    """
    scaled, gain = normalize(values, power)
    return Sent(pam_modulate(scaled), gain)


def from_symbols(
    received: NDArray[np.complex64],
    csi: NDArray[np.complex64],
    noise_variance: NDArray[np.float32],
    count: int,
    gain: float,
) -> Heard:
    """Equalise by MMSE (without its bias) and read the values back.

    Parameters
    ----------
    received, csi, noise_variance : ndarray (ceil(count/2),)
        What came, the channel's gain and the noise power of each symbol.
    count : int
        Values that were sent.
    gain : float
        Of `to_symbols`.
    """
    equalized = mmse(received, csi, noise_variance)
    values = pam_demodulate(equalized.unbiased, count) / gain
    return Heard(values, pam_noise_variance(equalized.noise_variance, count, gain))
