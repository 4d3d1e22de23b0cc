"""The link over QAM in one process: the channel uses of `pam`, filled with bits; and an ideal code on the same uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.coder import Coded, FeatureCoder
from semstream.codec.qam_design import designed
from semstream.codec.qam_link import QamLink
from semstream.phy import channel as phy_channel
from semstream.phy.capacity import bits_per_use
from semstream.phy.errors import PhyError
from semstream.phy.random import generator
from semstream.quantize.dequantize import NOISE_CAP
from semstream.quantize.errors import AllocationError
from tools.evaluation.case import Case, CaseError
from tools.evaluation.pictures import Batch

Float32 = NDArray[np.float32]
Facts = tuple[int, int, int, int]
MOST_BITS = 12.0


class Digital:
    """Sends encoded batches as bits.

    Parameters
    ----------
    coder, stride
        Of the weights.
    seed
        Of the noise.

    Attributes
    ----------
    lost
        Frames whose header was not read so far; of these nothing is known, and their pictures are grey.
    """

    def __init__(self, coder: FeatureCoder, stride: int, seed: int) -> None:
        self._coder, self._seed = coder, seed
        self._link = QamLink(coder, stride)
        self.lost = 0

    def transmit(
        self, features: Float32, scales: Sequence[float], batch: Batch, case: Case
    ) -> tuple[list[Float32], list[Float32], list[Facts]]:
        """Features and their noise as received; payload bits, side bits, features and channel uses of each.

        Raises
        ------
        CaseError
            If no allocation meets the budget, or the frame is too small for its header.
        """
        try:
            if case.modulation == "capacity":
                return self._ideal(features, scales, batch, case)
            return self._qam(features, scales, batch, case)
        except (AllocationError, PhyError) as error:
            raise CaseError(f"{case.label}: {error}") from None

    def _qam(
        self, features: Float32, scales: Sequence[float], batch: Batch, case: Case
    ) -> tuple[list[Float32], list[Float32], list[Facts]]:
        count = features[0].size
        design = case.snr_db if case.design_snr_db is None else case.design_snr_db
        kind = case.modulation.removeprefix("qam-")
        form = designed(kind, design, (count + 1) // 2, spread_db=0.5 if case.design_snr_db is None else 2.0)
        size = (batch.pictures.shape[1], batch.pictures.shape[2])
        bits = self._link.budget(size, form, **self._allocation(case))
        receptions, facts = [], []
        for i in range(len(features)):
            coded = self._quantized(features[i], scales[i], size, case, bits)
            sent = self._link.transmit(coded.payload, coded.side, batch.first + i, form)
            noise = generator(self._seed, "air", batch.first + i)
            receptions.append(
                phy_channel.apply(sent.symbols, case.channel, case.snr_db, noise, time=(batch.first + i) % 100)
            )
            facts.append((coded.side.payload_bits, sent.header_bits, count, sent.symbols.size))
        values, variances = [], []
        for got in self._link.receive(receptions, form.header_rate):
            self.lost += got is None
            shape = features[0].shape
            values.append(np.zeros(shape, np.float32) if got is None else got.features)
            variances.append(np.full(shape, NOISE_CAP, np.float32) if got is None else got.noise_variance)
        return values, variances, facts

    def _ideal(
        self, features: Float32, scales: Sequence[float], batch: Batch, case: Case
    ) -> tuple[list[Float32], list[Float32], list[Facts]]:
        """Bits up to the capacity of the channel uses, without error and without a header."""
        count = features[0].size
        uses = (count + 1) // 2
        bits = min(MOST_BITS, uses * bits_per_use(case.channel, case.snr_db) / count)
        size = (batch.pictures.shape[1], batch.pictures.shape[2])
        values, variances, facts = [], [], []
        for i in range(len(features)):
            coded = self._quantized(features[i], scales[i], size, case, bits)
            levels = self._coder.amplitudes(coded.payload, coded.side)
            value, variance = self._coder.observe(levels, np.zeros_like(levels), coded.side)
            values.append(value)
            variances.append(variance)
            facts.append((coded.side.payload_bits, 0, count, uses))
        return values, variances, facts

    def _allocation(self, case: Case) -> dict[str, Any]:
        contribution = case.contribution or "sensitivity"
        return {
            "scheme": case.scheme,
            "quantizer": case.quantizer,
            "contribution": contribution,
            "classes": self._coder.profile.classes(case.classes, contribution),
        }

    def _quantized(self, features: Float32, scale: float, size: tuple[int, int], case: Case, bits: float) -> Coded:
        return self._coder.quantize(features, size=size, scale=scale, mean_bits=bits, **self._allocation(case))
