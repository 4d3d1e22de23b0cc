"""Power normalisation, per frame and never across frames."""

import numpy as np
from numpy.typing import NDArray

_SMALLEST = float(np.finfo(np.float16).tiny)
_LARGEST = float(np.finfo(np.float16).max)


def normalize(values: NDArray[np.floating], power: float = 1.0) -> tuple[NDArray[np.float32], float]:
    """Scale one frame's feature values so that its complex symbols have the mean power asked for.

    Two values share one complex symbol, ``(a + 1j*b) / sqrt(2)`` (see `pam_modulate`), and an odd count is padded with
    a zero; the gain g accounts for that pad. The receiver needs g, so it is rounded to a float16 (16 bits of side
    information); the power is then within 0.1 % (0.004 dB) of its label.

    Parameters
    ----------
    values : ndarray (N,), real
        The values to be sent.
    power : float
        Mean power of a complex symbol, linear.

    Returns
    -------
    scaled : ndarray (N,), float32
        ``g * values``.
    gain : float
        g > 0, exactly representable as float16. It is 1 for an empty or an all-zero frame, which cannot be scaled to
        any power and is sent as silence; for extreme values it is held within float16's normal range.

    Raises
    ------
    ValueError
        If ``values`` is not one-dimensional, holds NaN or infinity, or ``power`` is not positive and finite.
    """
    if values.ndim != 1:
        raise ValueError(f"values: expected one dimension, got shape {values.shape}; flatten them in C order first")
    if not (power > 0 and np.isfinite(power)):
        raise ValueError(f"power: expected a positive finite number, got {power}")
    wide = values.astype(np.float64)
    energy = float(np.einsum("i,i->", wide, wide))  # not by BLAS, whose threads would fight with the other blocks
    if not np.isfinite(energy):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise ValueError(f"values: expected finite numbers, got {bad} of {values.size} that are NaN or infinite")
    if energy == 0.0:
        return values.astype(np.float32), 1.0
    symbols = (values.size + 1) // 2
    exact = np.sqrt(2.0 * symbols * power / energy)
    gain = float(np.float16(np.clip(exact, _SMALLEST, _LARGEST)))
    return (wide * gain).astype(np.float32), gain


def mean_symbol_power(symbols: NDArray[np.complexfloating]) -> float:
    """Mean of |s|^2 over the complex symbols ``(N,)``, linear; 0 for none."""
    if symbols.size == 0:
        return 0.0
    return float(np.mean(symbols.real.astype(np.float64) ** 2 + symbols.imag.astype(np.float64) ** 2))
