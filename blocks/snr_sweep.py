"""SnrSweep: which SNR each frame is sent at."""

from __future__ import annotations

from blocks.ports import Image
from semstream.runtime import Block, Frame, In, Out, live


class SnrSweep(Block):
    """Tag frames with the SNR of their transmission, a list of SNRs in turn.

    Input and output
    ----------------
    image : Image, passed on with the tag ``snr_db``, which `NonUniformQuantizer` and `FadingChannel` follow. It stands
    for the feedback by which a transmitter knows its SNR. By the frame's number, so a sweep is the same in every run.
    """

    image = In(Image)
    tagged = Out(Image)

    class Settings(Block.Settings):
        snr_db: list[float] = live([10.0], min_length=1, unit="dB", description="Es/N0, in turn; inf is error-free")
        hold: int = live(10, ge=1, unit="frames", description="frames at each SNR")

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        return frame.replace(tags={"snr_db": float(s.snr_db[frame.seq // s.hold % len(s.snr_db)])})
