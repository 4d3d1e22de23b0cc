"""SnrSweep: which SNR each frame is sent at."""

from __future__ import annotations

import time

from blocks.ports import Image
from semstream.runtime import Block, Frame, In, Out, live


class SnrSweep(Block):
    """Tag frames with the SNR of their transmission, a list of SNRs in turn.

    Input and output
    ----------------
    image : Image, passed on with the tag ``snr_db``, which `NonUniformQuantizer` and `FadingChannel` follow. It stands
    for the feedback by which a transmitter knows its SNR. By the frame's number, so a sweep is the same in every run;
    with ``within_s``, for a run that somebody watches, by the clock as well.
    """

    image = In(Image)
    tagged = Out(Image)

    class Settings(Block.Settings):
        snr_db: list[float] = live([10.0], min_length=1, unit="dB", description="Es/N0, in turn; inf is error-free")
        hold: int = live(10, ge=1, unit="frames", description="frames at each SNR")
        within_s: float = live(
            0.0, ge=0, unit="s", description="go on before hold is over, so that all SNRs come so soon; 0: never"
        )

    def start(self) -> None:
        self._place: int | None = None

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        place = frame.seq // s.hold
        if s.within_s:
            place = self._walked(place, frame.seq % s.hold)
        else:
            self._place = None
        return frame.replace(tags={"snr_db": float(s.snr_db[place % len(s.snr_db)])})

    def _walked(self, place: int, met: int) -> int:
        """The place in the sweep; it moves by one at a time, so that a slow link leaves no SNR out."""
        now = time.monotonic()
        if self._place is None:
            self._place, self._met, self._since = place, met, now
        elif self._met >= self.settings.hold or now - self._since >= self.settings.within_s / len(self.settings.snr_db):
            self._place, self._met, self._since = self._place + 1, 0, now
        self._met += 1
        return self._place
