"""Pulse amplitude modulation: a feature value is the amplitude of one real dimension of the channel."""

import numpy as np
from numpy.typing import NDArray

_SQRT2 = np.float32(np.sqrt(2.0))


def pam_modulate(values: NDArray[np.floating]) -> NDArray[np.complex64]:
    """Put two consecutive values on one complex symbol, ``(a + 1j*b) / sqrt(2)``.

    Parameters
    ----------
    values : ndarray (N,), real
        Power-normalised values (see `normalize`), in C order of the features that are sent.

    Returns
    -------
    ndarray (ceil(N / 2),), complex64
        Symbols; an odd count is padded with a zero in the last imaginary part.

    Raises
    ------
    ValueError
        If ``values`` is not one-dimensional.
    """
    if values.ndim != 1:
        raise ValueError(f"values: expected one dimension, got shape {values.shape}; flatten them in C order first")
    pairs = np.zeros(2 * ((values.size + 1) // 2), dtype=np.float32)
    np.divide(values, _SQRT2, out=pairs[: values.size], casting="same_kind")
    return pairs.view(np.complex64)


def pam_demodulate(symbols: NDArray[np.complexfloating], count: int) -> NDArray[np.float32]:
    """Read the values back from equalised symbols; the inverse of `pam_modulate`.

    Parameters
    ----------
    symbols : ndarray (M,), complex
        Equalised symbols.
    count : int
        How many values were sent, ``2*M - 1`` or ``2*M``.

    Returns
    -------
    ndarray (count,), float32

    Raises
    ------
    ValueError
        If ``count`` values do not fill exactly M symbols.
    """
    _check_count(symbols.shape, count)
    values = np.ascontiguousarray(symbols, dtype=np.complex64).view(np.float32)[:count]
    return values * _SQRT2


def pam_noise_variance(
    noise_variance: NDArray[np.floating], count: int, gain: float = 1.0, cap: float = 1e4
) -> NDArray[np.float32]:
    """Noise variance of each value, from the noise variance of each equalised symbol.

    A real dimension carries half of the complex noise and `pam_demodulate` scales amplitudes by sqrt(2), so the
    variance of a value equals that of its symbol; undoing the power gain divides it by ``gain**2``.

    Parameters
    ----------
    noise_variance : ndarray (M,), real
        Complex noise variance after equalisation, sigma^2 / |h|^2 (see `mmse`).
    count : int
        How many values were sent.
    gain : float
        The transmitter's power gain g.
    cap : float
        Upper bound of the result, ``NOISE_CAP``: "this value tells nothing".

    Returns
    -------
    ndarray (count,), float32
        sigma^2 / (|h|^2 g^2), in units of the features.

    Raises
    ------
    ValueError
        If ``count`` values do not fill exactly M symbols.
    """
    _check_count(noise_variance.shape, count)
    per_symbol = np.minimum(noise_variance.astype(np.float64) / gain**2, cap).astype(np.float32)
    return np.repeat(per_symbol, 2)[:count]


def _check_count(shape: tuple[int, ...], count: int) -> None:
    if len(shape) != 1 or count < 0 or (count + 1) // 2 != shape[0]:
        raise ValueError(
            f"count: expected {shape} symbols to carry {count} values, two a symbol; "
            "check that the count sent with the frame belongs to these symbols"
        )
