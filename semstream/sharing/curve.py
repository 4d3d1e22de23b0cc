"""QualityCurve: the PSNR that a user's frame can expect, by the channels of features, energy and bits that it gets.

From the contribution profile (which channels matter), the measured distortion of the codebooks at each width, and the
frame's own power in each channel comes the distortion that is expected,

    D(k, E, B) = scale²·[Σ_{j sent} w_j·p_j·e_j/(p_j + e_j) + Σ_{j not sent} w_j·p_j],

e_j what quantization at B bits and the channel at energy E over k channels leave on feature j (`air_distortion` of
`semstream.quantize.allocation`). How far the decoder's pictures are from it depends on the decoder and on the picture:
the report has that from measurements at some points, and between them it is interpolated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.codec.profile import Profile
from semstream.sharing.report import WIDTHS, Report

Float = NDArray[np.float64]
_PER_BIT = 4
"""Steps of the mean width in the tables, a bit."""
LEAST_BITS = 3.0
"""Bits a sent feature gets in the mean at least, by leaving out others: what coarser levels leave is no noise that a
decoder can take away, and pictures come out up to 6 dB worse than expected."""
PLENTY = float(WIDTHS - 1)
"""Bits a feature that are always enough."""


class WidthTable:
    """Which widths the sent channels have at each mean width, as the profile has it: the greatest gain comes first.

    Attributes
    ----------
    order : ndarray (C,)
        Channels in the order in which they are sent; ``rank`` is the place of each in it.
    bits : ndarray (C, M, C), uint8
        Bits b_j of channel j (by its own number) when so many channels (1 to C) are sent at mean width number m,
        1 + m/4 bits; 0 for those that are not.
    """

    def __init__(self, profile: Profile, quantizer: str = "lloyd_max") -> None:
        weight, power = profile.contribution["sensitivity"].astype(np.float64), profile.variance.astype(np.float64)
        share = profile.distortion[quantizer].astype(np.float64) / np.maximum(power, 1e-30)[:, None]
        share = np.minimum.accumulate(np.minimum(share, 1.0), axis=1)
        channels = len(power)
        self.weight, self.importance = weight, profile.importance().astype(np.float64)
        self.order = np.argsort(-profile.weighted_variance, kind="stable")  # as Profile.allocate leaves channels out
        gains = (weight * power)[:, None] * (share[:, 1 : WIDTHS - 1] - share[:, 2:WIDTHS])  # of the second bit on
        steps = np.argsort(-gains, axis=None, kind="stable") // gains.shape[1]  # whose bit comes next
        rank = self.rank = np.empty(channels, np.int64)
        rank[self.order] = np.arange(channels)
        levels = (WIDTHS - 2) * _PER_BIT + 1
        self.bits = np.zeros((channels, levels, channels), np.uint8)
        for k in range(1, channels + 1):
            kept = self.order[:k]
            mine = steps[rank[steps] < k]
            for m in range(levels):
                more = np.bincount(mine[: k * m // _PER_BIT], minlength=channels)
                self.bits[k - 1, m, kept] = 1 + more[kept]

    def widths(self, channels: int, mean_bits: float) -> NDArray[np.uint8]:
        """(C,) uint8 bits of each channel, where so many are sent with at most so many bits a feature of theirs."""
        step = int((min(mean_bits, PLENTY) - 1) * _PER_BIT + 1e-9)
        return self.bits[channels - 1, max(0, step)]


class QualityCurve:
    """Expected quality of one user's frame.

    Parameters
    ----------
    table
        Of the profile that the user's weights have.
    report
        Of the frame.
    """

    def __init__(self, table: WidthTable, report: Report) -> None:
        self.report = report
        self.channels = len(table.order)
        self._table = table
        self._power = report.distortion[:, 0].astype(np.float64)
        share = report.distortion.astype(np.float64) / np.maximum(self._power, 1e-30)[:, None]
        self._left = np.clip(share, 0.0, 1.0)  # of the power, at each width
        self._left[:, 0] = 1.0
        self._noise = 10 ** (-report.snr_db / 10)
        unsent = (table.importance * self._power)[table.order]
        self._unsent = np.append(np.cumsum(unsent[::-1])[::-1], 0.0)  # by the number of channels that are sent

    @property
    def bits_of_one(self) -> int:
        """Bits of one channel of features at least."""
        return int(LEAST_BITS * self.report.sites)

    def sent(self, channels: ArrayLike, bits: ArrayLike) -> NDArray[np.int64]:
        """How many channels are sent with so many bits a frame, `LEAST_BITS` for each feature at least."""
        most = np.floor(np.minimum(np.asarray(bits, np.float64) / self.bits_of_one + 1e-9, self.channels))
        return np.minimum(np.asarray(channels, np.int64), most.astype(np.int64))

    def expected(self, channels: ArrayLike, energy: ArrayLike, bits: ArrayLike = np.inf) -> Float:
        """PSNR in dB that the profile expects, in another scale than a measured one (`psnr_db` corrects it).

        Parameters
        ----------
        channels
            Channels of features that are granted, 0 to C.
        energy
            Of the frame: mean power of a symbol times its channel uses.
        bits
            Of the frame.

        Returns
        -------
        float64, of the shape that the three have together, at least (1,).
        """
        k, e, b = np.broadcast_arrays(*np.atleast_1d(channels, energy, bits))
        k = self.sent(k, b)
        features = k * self.report.sites
        mean = np.minimum(b, PLENTY * features) / np.maximum(features, 1)
        step = np.clip(np.floor((mean - 1) * _PER_BIT + 1e-9), 0, self._table.bits.shape[1] - 1).astype(np.int64)
        left = self._left[np.arange(self.channels), self._table.bits[np.maximum(k, 1) - 1, step]]
        gain = np.maximum(1 - left, 1e-3)
        # What is not sent has 0 bits, all its power left, and so no level.
        level = (self._power * (1 - left)).sum(axis=-1) / np.maximum(k, 1)
        uses = k * self.report.price
        noise = (self._noise * uses / np.maximum(e, 1e-12) * level)[..., None]
        error = (left * self._power * gain + noise) / gain**2
        total = self._power + error
        wiener = np.divide(self._power * error, total, out=np.zeros_like(error), where=total > 0)
        kept = self._table.rank < k[..., None]
        distortion = (self._table.weight * wiener * kept).sum(axis=-1) + self._unsent[k]
        return np.asarray(-10 * np.log10(np.maximum(self.report.scale**2 * distortion, 1e-12)))

    def psnr_db(self, channels: ArrayLike, energy: ArrayLike, bits: ArrayLike = np.inf) -> Float:
        """PSNR in dB that a picture can expect; parameters as for `expected`."""
        model = self.expected(channels, energy, bits)
        measured = self.report.measured
        if not measured.size:
            return model
        k = np.broadcast_to(self.sent(*np.broadcast_arrays(np.atleast_1d(channels), bits)), model.shape)
        corrections = np.stack(
            [np.interp(model, row[:, 1], row[:, 2] - row[:, 1]) for row in measured.astype(np.float64)]
        )
        counts = np.log(measured[:, 0, 0].astype(np.float64))
        at = np.interp(np.log(np.maximum(k, 1)), counts, np.arange(len(counts)))
        low = np.minimum(at.astype(np.int64), len(counts) - 1)
        high = np.minimum(low + 1, len(counts) - 1)
        share = at - low
        place = np.arange(model.size).reshape(model.shape)
        flat = corrections.reshape(len(counts), -1)
        return np.asarray(model + (1 - share) * flat[low, place] + share * flat[high, place])
