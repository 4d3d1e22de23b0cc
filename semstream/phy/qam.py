"""Gray QAM (3GPP TS 38.211, Section 5.1) of order 4, 16, 64, 256, and its soft demapper.

Even bits of a symbol make its real part, odd bits its imaginary part, the first of each being the sign:
16-QAM is ``((1 − 2b₀)(2 − (1 − 2b₂)) + j(1 − 2b₁)(2 − (1 − 2b₃)))/√10``. Both parts are Gray PAM of their own, so that
a demapper weighs 2·√order amplitudes and not order points, which makes 256-QAM as cheap as it should be.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from semstream.phy.errors import PhyError

ORDERS = (4, 16, 64, 256)
LLR_LIMIT = np.float32(60)
"""Largest magnitude of an LLR: of an error-free bit."""


def bits_per_symbol(order: int) -> int:
    """log2 of the order.

    Raises
    ------
    PhyError
        If there is no such constellation here.
    """
    if order not in ORDERS:
        raise PhyError(f"QAM order: expected one of {', '.join(map(str, ORDERS))}, got {order}")
    return order.bit_length() - 1


@cache
def _amplitudes(order: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Amplitude of each label of one dimension, (L,), and its bits, first bit first, (L, log2 L)."""
    half = bits_per_symbol(order) // 2
    labels = (np.arange(2**half)[:, None] >> np.arange(half)[::-1] & 1).astype(np.uint8)
    value = np.ones(2**half)
    for place in range(half - 1, 0, -1):
        value = 2 ** (half - place) - (1 - 2.0 * labels[:, place]) * value
    value *= 1 - 2.0 * labels[:, 0]
    return (value / np.sqrt(2 * np.mean(value**2))).astype(np.float32), labels


def qam_modulate(bits: NDArray[np.uint8], order: int) -> NDArray[np.complex64]:
    """Symbols of unit mean power.

    Parameters
    ----------
    bits : ndarray (N·log2 order,), uint8 of 0 and 1.
    order : 4, 16, 64 or 256.

    Returns
    -------
    ndarray (N,), complex64

    Raises
    ------
    PhyError
        For another order, or bits that do not fill whole symbols.
    """
    width = bits_per_symbol(order)
    if bits.ndim != 1 or bits.size % width:
        raise PhyError(f"bits: expected a multiple of {width} for {order}-QAM, got {bits.shape}")
    value, _ = _amplitudes(order)
    pairs = bits.reshape(-1, width // 2, 2)
    weights = (1 << np.arange(width // 2)[::-1]).astype(np.uint8)
    index = np.tensordot(weights, pairs, axes=(0, 1))
    return np.ascontiguousarray(value[index]).view(np.complex64)[:, 0]


def qam_llr(
    symbols: NDArray[np.complexfloating], noise_variance: NDArray[np.floating], order: int
) -> NDArray[np.float32]:
    """Log-likelihood ratios of the bits, log P(b = 0)/P(b = 1), exact for equally likely bits.

    Parameters
    ----------
    symbols : ndarray (N,), complex
        Equalised, not shrunk: y/h.
    noise_variance : ndarray (N,), real >= 0
        Variance of the complex noise on each, σ²/|h|².
    order : 4, 16, 64 or 256.

    Returns
    -------
    ndarray (N·log2 order,), float32, at most `LLR_LIMIT` in magnitude.

    Raises
    ------
    PhyError
        For another order, or shapes that differ.
    """
    width = bits_per_symbol(order)
    if symbols.ndim != 1 or symbols.shape != noise_variance.shape:
        raise PhyError(f"symbols, noise_variance: expected one shape (N,), got {symbols.shape}, {noise_variance.shape}")
    value, labels = _amplitudes(order)
    parts = np.ascontiguousarray(symbols, np.complex64).view(np.float32).reshape(-1, 2, 1)
    precision = 1 / np.maximum(noise_variance.astype(np.float32), np.float32(1e-6))
    weight = parts - value
    weight *= weight
    weight *= -precision[:, None, None]
    weight -= weight.max(axis=2, keepdims=True)
    np.exp(weight, out=weight)
    ones = weight @ labels.astype(np.float32)
    zeros = weight @ (1 - labels).astype(np.float32)
    least = np.float32(1e-30)
    llr = np.log(np.maximum(zeros, least) / np.maximum(ones, least)).clip(-LLR_LIMIT, LLR_LIMIT)
    return np.ascontiguousarray(llr.transpose(0, 2, 1)).reshape(symbols.size * width)
