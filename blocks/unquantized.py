"""Unquantized: features as they are, the upper bound beside the quantizers."""

from __future__ import annotations

from blocks._quantizing import QuantizingBlock
from blocks.ports import Codes, Features
from semstream.runtime import Block, Frame, In, Out, setting


class Unquantized(QuantizingBlock):
    """Pass features on as 32-bit floats, so that an analog link can be wired like a quantized one.

    Input
    -----
    features : Features, float32 (h, w, C).

    Output
    ------
    codes : Codes; ``payload`` holds float32, counted as 32 bits a feature.
    """

    features = In(Features)
    codes = Out(Codes)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")

    def process(self, frame: Frame) -> Frame:
        return self.code(frame, scheme="none")
