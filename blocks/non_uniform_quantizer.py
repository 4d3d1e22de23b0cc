"""NonUniformQuantizer: more bits where they matter more."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from blocks._quantizing import QuantizingBlock
from blocks.ports import ClassifiedFeatures, Codes
from semstream.codec.told_snr import snr_db_in
from semstream.runtime import Block, Frame, In, Out, live, setting


class NonUniformQuantizer(QuantizingBlock):
    """Allocate bits over the classes, quantize, and pack (the paper, Section 3.3).

    Input
    -----
    classified : ClassifiedFeatures.

    Output
    ------
    codes : Codes; ``payload`` uint8. Tags: the side information (see `semstream.codec.side_information`).

    Usage
    -----
    ``NonUniformQuantizer(bits=3)`` for `optimal` allocation at 3 bits a feature on average; ``scheme="fixed"`` with
    ``ContributionClassifier(classes=3)`` for the paper's 5 : 3 : 2. Frames tagged ``snr_db`` are allocated for that SNR
    (quantization and channel distortion together) unless ``follow_snr`` is off; others for ``design_snr_db``, and where
    that is not set either, for the SNR that their features were made for, as their scale tells it.
    """

    classified = In(ClassifiedFeatures)
    codes = Out(Codes)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        bits: float = live(
            4.0, gt=0, le=12, unit="bits/feature", description="budget, mean over all features of a frame"
        )
        scheme: Literal["optimal", "proportional", "cumulative", "fixed", "uniform"] = live(
            "optimal", description="how the bits are shared out over the classes"
        )
        quantizer: Literal["lloyd_max", "fixed_point"] = live("lloyd_max", description="levels")
        follow_snr: bool = live(True, description="allocate for the SNR that a frame is tagged with")
        follow_rate: bool = live(
            True, description="keep to the budget that a RateController or BandGrant has tagged a frame with"
        )
        most_channels: int = live(0, ge=0, description="send at most so many channels of features; 0: no limit")
        design_snr_db: float = live(
            math.inf,
            ge=-20,
            unit="dB",
            description="SNR that frames without a tag are allocated for; inf: that of "
            "their features, and without follow_snr error-free",
        )

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        tags = frame.tags
        tagged = tags.get("design_snr_db", tags.get("snr_db")) if s.follow_snr else None
        snr_db = float(tagged) if isinstance(tagged, (int, float)) else s.design_snr_db
        if tagged is None and s.follow_snr and math.isinf(snr_db) and self._coder.profile.unfolded is not None:
            snr_db = snr_db_in(tags["scale"])  # without noise folds would be left out, on which such features rely
        bits, most = tags.get("budget_bits"), tags.get("most_features")
        sites = frame["features"].shape[0] * frame["features"].shape[1]
        controlled = s.follow_rate and isinstance(bits, float) and isinstance(most, int)
        widths = tags.get("channel_bits") if s.follow_rate else None
        allocated = isinstance(widths, bytes) and len(widths) == frame["features"].shape[2] and 0 < max(widths) <= 12
        return self.code(
            frame,
            scheme=s.scheme,
            mean_bits=bits if controlled else s.bits,
            quantizer=s.quantizer,
            contribution=frame.tags.get("contribution", "sensitivity"),
            classes=frame["classes"],
            class_map=frame.arrays.get("class_map"),
            noise_variance=10 ** (-snr_db / 10),
            most_features=most if controlled else s.most_channels * sites,
            channel_bits=np.frombuffer(widths, np.uint8) if allocated and widths else None,
        )
