"""What a bit of a QAM symbol can carry: its mutual information on AWGN, which codes for it can approach.

Of bit-interleaved coded modulation (G. Caire, G. Taricco, E. Biglieri, 1998): the sum over a symbol's bits is the rate
that an ideal binary code reaches with the demapper of `semstream.phy.qam`; Shannon's log2(1 + SNR) lies above.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from semstream.phy.qam import ORDERS, _amplitudes, bits_per_symbol

_GRID_DB = np.arange(-20.0, 45.0, 0.5)
_NOISE = 161


@lru_cache(maxsize=len(ORDERS))
def _table(order: int) -> NDArray[np.float64]:
    """(SNRs, log2 order / 2) mutual information of the bits of one dimension."""
    value, labels = _amplitudes(order)
    amplitude, ones = value.astype(np.float64), labels.astype(np.float64)
    noise = np.linspace(-6, 6, _NOISE)
    weight = np.exp(-(noise**2) / 2)
    weight /= weight.sum()
    rows: list[list[float]] = []
    for snr_db in _GRID_DB:
        deviation = np.sqrt(0.5 * 10 ** (-snr_db / 10))
        received = amplitude[:, None] + deviation * noise
        exponent = -((received[..., None] - amplitude) ** 2) / (2 * deviation**2)
        likelihood = np.exp(exponent - exponent.max(axis=2, keepdims=True))
        total = likelihood.sum(axis=2)
        given_one = likelihood @ ones
        rows.append([])
        for place in range(ones.shape[1]):
            same = np.where(ones[:, place, None] > 0, given_one[..., place], total - given_one[..., place])
            rows[-1].append(1 + float(np.mean(np.log2(np.maximum(same / total, 1e-300)) @ weight)))
    return np.clip(np.array(rows), 0, 1)


def bit_information(order: int, snr_db: float) -> NDArray[np.float64]:
    """Mutual information of each bit of a symbol, (log2 order,), in the order of its bits.

    Parameters
    ----------
    order : 4, 16, 64 or 256.
    snr_db : Es/N0 in dB; beyond −20 to 44.5 that of the nearest.
    """
    bits_per_symbol(order)
    table = _table(order)
    half = np.array([np.interp(snr_db, _GRID_DB, column) for column in table.T])
    return np.repeat(half, 2)


def code_rate(order: int, snr_db: float) -> float:
    """Highest rate of an ideal binary code over this constellation: the mean of `bit_information`."""
    return float(bit_information(order, snr_db).mean())


def best_order(snr_db: float, most: int = 256, least_rate: float = 0.2, most_rate: float = 0.9) -> tuple[int, float]:
    """The constellation, with the rate of an ideal code for it, that carries most at an SNR.

    Of equals, and where the rate would leave what codes there are (`least_rate`, `most_rate`), the smaller one.
    """
    found = (4, min(code_rate(4, snr_db), most_rate))
    for order in ORDERS[1:]:
        rate = min(code_rate(order, snr_db), most_rate)
        if (
            order <= most
            and rate >= least_rate
            and rate * bits_per_symbol(order) > 1.01 * found[1] * bits_per_symbol(found[0])
        ):
            found = order, rate
    return found
