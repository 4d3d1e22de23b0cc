"""Bits of classes of features that leave the least weighted error, through quantization and a channel.

On the air, a class that is not sent also changes the others: power is normalised over what *is* sent, so leaving out
weak features lowers the gain of the strong ones. So it is tried how many classes to send, and the best is taken,
quantization, channel and gain together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semstream.quantize.allocation import air_distortion, allocate, received_noise
from semstream.quantize.errors import AllocationError

Float = NDArray[np.float64]


class Allocated(NamedTuple):
    """Bits of each class (K,) uint8, the weighted error that they leave, and the noise (C,) in each channel.

    The noise is what a linear dequantizer leaves, quantization and channel, its geometric mean over the features of a
    channel, and the power of one that is not sent.
    """

    bits: NDArray[np.uint8]
    error: float
    noise: Float


@dataclass(frozen=True)
class LeastError:
    """What bits are divided over, and how.

    Attributes
    ----------
    held
        (K, C) features of each class in each channel.
    variance
        (C,) mean square of each channel's features.
    distortion
        (C, B) mean squared error of a feature at b = 0, 1, ... bits.
    alone
        (C,) weights of squared errors, where a class is not sent: more than that of an error, where one class is of
        no use without another one.
    budget_bits
        Bits of all.
    noise_variance
        Mean noise variance of a received feature at the power of one; 0 for an error-free channel.
    most_features
        Features that are sent at most; 0 for no limit.
    centroids
        Whether the quantizer's levels are their cells' centroids.
    worth
        (C,) what ranks the classes where `most_features` leaves some out; None for the error that missing them is
        reckoned to leave. That ranks them within the limit: which to leave out for the sake of the others' bits is a
        matter of small errors again (by one order for both, 0.5 dB were lost at 2 bits and 13 dB).
    """

    held: Float
    variance: Float
    distortion: Float
    alone: Float
    budget_bits: int
    noise_variance: float = 0.0
    most_features: int = 0
    centroids: bool = True
    worth: Float | None = None

    def allocate(self, weight: Float) -> Allocated:
        """Bits for the least Σ weight · error.

        Raises
        ------
        AllocationError
            If not one class fits into `most_features`.
        """
        sizes = self.held.sum(axis=1).astype(np.int64)
        share = self.held / np.maximum(sizes, 1)[:, None]
        classes = np.arange(len(sizes))
        unsent = share @ (np.maximum(weight, self.alone) * self.variance)
        # Never worth a bit, so that they get none:
        worthless = np.maximum(unsent, 1e-9 * unsent.sum())[:, None] * (1 + 1e-3 * np.arange(self.distortion.shape[1]))

        def found(table: Float) -> tuple[NDArray[np.uint8], float]:
            bits = allocate("optimal", sizes=sizes, budget_bits=self.budget_bits, distortion=table)
            return bits, float((sizes * table[classes, bits]).sum())

        def clean() -> Allocated:
            table = share @ (weight[:, None] * self.distortion)
            table[:, 0] = unsent
            table[unsent == 0] = worthless[unsent == 0]
            bits, error = found(table)
            return Allocated(bits, error, self._noise(bits, 0.0))

        if self.noise_variance <= 0 and not self.most_features:
            return clean()
        # Of centroids E[q²] = p − D: coarse levels are weaker than the features that they stand for.
        level_power = share @ np.maximum(self.variance[:, None] - self.distortion * self.centroids, 0)
        best: tuple[NDArray[np.uint8], float, float] | None = None
        most = min(self.budget_bits, self.most_features or self.budget_bits)
        worth = unsent if self.worth is None or not self.most_features else share @ self.worth
        order = np.lexsort((-worth, unsent == 0))
        fitting = order[: np.searchsorted(np.cumsum(sizes[order]), most, side="right")]
        order = np.concatenate((fitting[np.argsort(-unsent[fitting], kind="stable")], order[len(fitting) :]))
        for count in range(1, len(sizes) + 1):
            kept = order[:count]
            if sizes[kept].sum() > most or not sizes[kept].all():
                break
            bits = np.full(len(sizes), self.distortion.shape[1] - 1, np.uint8)
            for _ in range(2):  # the bits set the power of the levels, which sets the noise that the bits are for
                power = float((sizes * level_power[classes, bits])[kept].sum() / sizes[kept].sum())
                table = worthless.copy()
                left = air_distortion(
                    self.variance, self.distortion, weight, self.noise_variance * power, self.centroids
                )
                table[kept] = share[kept] @ left
                table[kept, 0] = 1e3 * unsent.sum()
                bits, error = found(table)
            if best is None or error < best[1]:
                best = bits, error, power
        if best is None and self.most_features:
            raise AllocationError(
                f"most_features: {self.most_features} are fewer than one class of {sizes[order[0]]} features"
            )
        return Allocated(best[0], best[1], self._noise(best[0], best[2])) if best is not None else clean()

    def at_equal_bits(self) -> Float:
        """(C,) noise of `Allocated` were all features to have as many bits, and were all sent."""
        mean = self.budget_bits / max(1.0, float(self.held.sum()))
        bits = np.full(len(self.held), min(max(1, round(mean)), self.distortion.shape[1] - 1), np.uint8)
        return self._noise(bits, float(self.variance.mean()))

    def _noise(self, bits: NDArray[np.uint8], power: float) -> Float:
        noise = received_noise(self.variance, self.distortion, self.noise_variance * power, self.centroids)
        noise[:, 0] = np.inf
        met = np.log(np.minimum(noise[:, bits], np.maximum(self.variance, 1e-30)[:, None]).clip(1e-30)).T  # (K, C)
        result: Float = np.exp((self.held * met).sum(axis=0) / np.maximum(self.held.sum(axis=0), 1e-30))
        return result
