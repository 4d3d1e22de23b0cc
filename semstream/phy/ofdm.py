"""Multipath through OFDM with a cyclic prefix: each subcarrier sees one complex gain.

::

    symbols (M, S) --> IFFT --> add prefix --> * taps (linear convolution) --> + n --> drop prefix --> FFT --> (M, S)

With a prefix no shorter than the channel's memory, the linear convolution is circular over the part that is kept, and
``y[m, k] = H[m, k] * s[m, k] + n`` with H the DFT of the taps: the paper's element-wise product, made by physics.
"""

import numpy as np
from numpy.typing import NDArray

from semstream.phy.fading import Coherence, block_length, complex_normal, rician_parts


def power_delay_profile(taps: int, decay: float) -> NDArray[np.float64]:
    """Exponential profile p_l ~ exp(-l / decay), l = 0 .. taps - 1 in samples, normalised to sum 1."""
    weights: NDArray[np.float64] = np.exp(-np.arange(taps) / decay)
    profile: NDArray[np.float64] = weights / weights.sum()
    return profile


def held_rows(size: int, subcarriers: int, coherence: Coherence) -> int:
    """OFDM symbols over which the taps hold, of those that carry `size` symbols."""
    rows = -(-size // subcarriers)
    return -(-block_length(rows * subcarriers if coherence == "frame" else size, coherence) // subcarriers)


def draw_taps(count: int, taps: int, decay: float, rician_k: float, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Impulse responses of ``count`` independent channels, of mean energy one.

    The line of sight is the first tap; the scattered power 1/(K+1) is spread over all taps by the exponential profile.
    Every subcarrier is then Rician with the same K, E|H|^2 = 1.

    Returns
    -------
    ndarray (count, taps), complex128
    """
    line_of_sight, scattered = rician_parts(rician_k)
    profile = np.sqrt(power_delay_profile(taps, decay))
    impulse = (scattered * profile * complex_normal(rng, (count, taps))).astype(np.complex128, copy=False)
    impulse[:, 0] += line_of_sight
    return impulse


def modulate(symbols: NDArray[np.complexfloating], cyclic_prefix: int) -> NDArray[np.complex128]:
    """Samples of OFDM symbols ``(M, S)``, each preceded by its own last ``cyclic_prefix`` samples.

    The transform is unitary, so a sample has the mean power of a symbol.

    Returns
    -------
    ndarray (M, cyclic_prefix + S), complex128
    """
    samples = np.fft.ifft(symbols.astype(np.complex128), axis=1, norm="ortho")
    return np.concatenate([samples[:, samples.shape[1] - cyclic_prefix :], samples], axis=1)


def convolve(samples: NDArray[np.complexfloating], impulse: NDArray[np.complexfloating]) -> NDArray[np.complex128]:
    """Pass the stream of samples through the taps that hold at the time of each sample.

    Parameters
    ----------
    samples : ndarray (M, T), complex
        Consecutive OFDM symbols with prefix: one stream in C order, silence before it.
    impulse : ndarray (M, L), complex
        Taps during each OFDM symbol.

    Returns
    -------
    ndarray (M, T), complex128
        An OFDM symbol leaks into the first L - 1 samples of the next one, as on the air.
    """
    stream = samples.reshape(-1)
    out = impulse[:, :1] * samples
    for delay in range(1, min(impulse.shape[1], stream.size)):
        late = np.zeros_like(stream)
        late[delay:] = stream[:-delay]
        out += impulse[:, delay : delay + 1] * late.reshape(samples.shape)
    return out


def demodulate(samples: NDArray[np.complexfloating], cyclic_prefix: int) -> NDArray[np.complex128]:
    """Subcarrier values ``(M, S)`` of received samples ``(M, cyclic_prefix + S)``; white noise keeps its variance."""
    return np.fft.fft(samples[:, cyclic_prefix:], axis=1, norm="ortho")


def frequency_response(impulse: NDArray[np.complexfloating], subcarriers: int) -> NDArray[np.complex128]:
    """Gain of each subcarrier, H = DFT of the taps: ``(M, L)`` to ``(M, subcarriers)``."""
    return np.fft.fft(impulse, n=subcarriers, axis=1)
