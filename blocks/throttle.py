"""Throttle: no more frames a second than asked for."""

from __future__ import annotations

import time

from semstream.runtime import ANY, Block, Frame, In, Out, live


class Throttle(Block):
    """Hold frames back to a rate; frames of any kind.

    Input and output
    ----------------
    frame : any type, passed on unchanged. Upstream is held back by credit; nothing is dropped here.
    """

    frame = In(ANY)
    out = Out(ANY, like="frame")

    class Settings(Block.Settings):
        fps: float = live(25.0, gt=0, unit="1/s", description="most frames a second")

    def start(self) -> None:
        self._due = time.monotonic()

    def process(self, frame: Frame) -> Frame:
        now = time.monotonic()
        if self._due > now:
            self.pause(self._due - now)
        self._due = max(self._due, now) + 1 / self.settings.fps
        return frame
