"""UniformQuantizer: the same bits for every feature, the baseline."""

from __future__ import annotations

from typing import Literal

from blocks._quantizing import QuantizingBlock
from blocks.ports import Codes, Features
from semstream.runtime import Block, Frame, In, Out, live, setting


class UniformQuantizer(QuantizingBlock):
    """Quantize every feature with the same number of bits, and pack.

    Input
    -----
    features : Features, float32 (h, w, C).

    Output
    ------
    codes : Codes, as of `NonUniformQuantizer`. A budget between two whole numbers gives some channels one bit more.
    """

    features = In(Features)
    codes = Out(Codes)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        bits: float = live(
            4.0, ge=1, le=12, unit="bits/feature", description="budget, mean over all features of a frame"
        )
        quantizer: Literal["lloyd_max", "fixed_point"] = live("lloyd_max", description="levels")

    def process(self, frame: Frame) -> Frame:
        return self.code(frame, scheme="uniform", mean_bits=self.settings.bits, quantizer=self.settings.quantizer)
