"""What the quantizer blocks share: a coder made at the start, bad features skipped, codes as a frame."""

from __future__ import annotations

from typing import Any

from blocks._errors import told_by
from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import Coded, FeatureCoder
from semstream.quantize.errors import AllocationError, QuantizeError
from semstream.runtime import Block, BlockError, Frame, SkipFrame


class QuantizingBlock(Block):
    """Base of the quantizer blocks. Features with NaN or infinite values are skipped and counted as ``features``."""

    class Settings(Block.Settings):
        weights: str

    def start(self) -> None:
        with told_by(self, "weights"):
            self._coder = FeatureCoder(load_profile(self.settings.weights)[0])

    def code(self, frame: Frame, **options: Any) -> Frame:
        """Quantize one frame and pack it.

        Raises
        ------
        BlockError
            A budget that no allocation can meet, which ends the run.
        SkipFrame
            Features that cannot be quantized.
        """
        size = frame.tags["size"]
        try:
            coded: Coded = self._coder.quantize(
                frame["features"], size=(size[0], size[1]), scale=frame.tags["scale"], **options
            )
        except AllocationError as error:
            raise BlockError(f"block {self.name!r}, setting 'bits': {error}") from None
        except QuantizeError as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("features") from None
        arrays = {"payload": coded.payload}
        if coded.class_map is not None:
            arrays["class_map"] = coded.class_map
        return Frame(arrays, tags=coded.side.to_tags())
