"""Soft dequantization of received bits: from the LLR of each bit of a code to the feature's posterior mean.

    code ─ label (natural, Gray) ─ bits ~~ air ~~ LLRs ─ P(code) ∝ prior(code)·Π P(bit) ─ posterior mean, variance

The bits of a code are taken to be independent given what was received, as interleaving makes them. What comes out is
extrinsic, like `semstream.quantize.dequantize`'s ``soft``: an unshrunk estimate and the variance of its noise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.quantize.dequantize import NOISE_CAP, SOFT_CAP
from semstream.quantize.errors import QuantizeError
from semstream.quantize.quantizer import Quantizer

__all__ = ["LABELS", "BitDequantizer", "Label", "labelled", "significance"]

Label = Literal["natural", "gray"]
LABELS: tuple[str, ...] = get_args(Label)
Float32 = NDArray[np.float32]
_LEAST = np.float32(1e-12)
_CHUNK = 2**20


def labelled(codes: NDArray[np.uint16], label: str) -> NDArray[np.uint16]:
    """The word that is sent for each code: itself, or its reflected Gray code, of which neighbours differ in one bit.

    Raises
    ------
    QuantizeError
        For another label.
    """
    if label not in LABELS:
        raise QuantizeError(f"label: expected one of {', '.join(LABELS)}, got {label!r}")
    return codes if label == "natural" else codes ^ (codes >> np.uint16(1))


@lru_cache(maxsize=32)
def _words(width: int, label: str) -> NDArray[np.float32]:
    """(width, 2**width) bit of each code's word; bit 0 is the least significant."""
    words = labelled(np.arange(2**width, dtype=np.uint16), label)
    return (words >> np.arange(width, dtype=np.uint16)[:, None] & 1).astype(np.float32)


class BitDequantizer:
    """Features from the LLRs of their bits; keeps a table a channel and width.

    Parameters
    ----------
    quantizer
        What the transmitter quantized with.
    prior_variance
        (C,) p = E[s²] of each channel.
    label
        ``natural`` or ``gray``, as sent.
    """

    def __init__(self, quantizer: Quantizer, prior_variance: NDArray[np.floating], label: str = "natural") -> None:
        labelled(np.zeros(0, np.uint16), label)
        self.label = label
        self._quantizer = quantizer
        self._prior = np.maximum(np.asarray(prior_variance, np.float32), _LEAST)
        self._tables: dict[tuple[int, int], tuple[Float32, Float32]] = {}

    def __call__(self, llr: Float32, channel: int) -> tuple[Float32, Float32]:
        """Estimates of one channel's features.

        Parameters
        ----------
        llr : ndarray (width, N), float32
            log P(bit = 0)/P(bit = 1), least significant bit first; 0 where nothing is known.
        channel : number of the channel.

        Returns
        -------
        estimate, noise_variance : (N,) float32; the Wiener estimate of both is the posterior mean.
        """
        width, count = llr.shape
        log_probability, moments = self._table(channel, width)
        words = _words(width, self.label)
        estimate, noise = np.empty(count, np.float32), np.empty(count, np.float32)
        prior = self._prior[channel]
        least = 1 / np.minimum(SOFT_CAP * prior, np.float32(NOISE_CAP))
        step = max(1, _CHUNK >> width)
        for first in range(0, count, step):
            part = slice(first, first + step)
            weight = log_probability - llr[:, part].T @ words
            weight -= weight.max(axis=1, keepdims=True)
            np.exp(weight, out=weight)
            mean, square, within = ((weight @ moments) / weight.sum(axis=1, keepdims=True)).T
            variance = within + np.maximum(square - mean**2, 0)
            noise[part] = 1 / np.maximum(1 / np.maximum(variance, _LEAST) - 1 / prior, least)
            estimate[part] = mean * ((prior + noise[part]) / prior)
        return estimate, noise

    def _table(self, channel: int, width: int) -> tuple[Float32, Float32]:
        key = channel, width
        if key not in self._tables:
            cells = self._quantizer.cells(channel, width, float(self._prior[channel]))
            log_probability = np.log(np.maximum(cells.probability, 1e-9)).astype(np.float32)
            moments = np.stack((cells.centroid, cells.centroid**2, cells.variance), axis=1).astype(np.float32)
            self._tables[key] = log_probability, moments
        return self._tables[key]


def significance(quantizer: Quantizer, channel: int, width: int, label: str = "natural") -> NDArray[np.float64]:
    """Mean squared change of a feature when a bit of its code is wrong, (width,), least significant bit first."""
    levels = quantizer.levels(channel, width).astype(np.float64)
    probability = quantizer.cells(channel, width, 1.0).probability
    words = labelled(np.arange(2**width, dtype=np.uint16), label)
    code_of = np.argsort(words)
    flipped = levels[code_of[words[None] ^ (1 << np.arange(width))[:, None]]]
    change: NDArray[np.float64] = ((flipped - levels) ** 2 @ probability) / probability.sum()
    return change
