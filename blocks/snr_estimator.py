"""SnrEstimator: what the transmitter can know of the SNR, from pilots on the way back."""

from __future__ import annotations

from collections import deque
from typing import Literal

from blocks._errors import told_by
from blocks.ports import Image
from semstream.phy import generator
from semstream.phy.channel import apply
from semstream.phy.estimation import noise_variance_from_pilots, pilot_symbols, snr_db_from
from semstream.runtime import Block, Frame, In, Out, live, setting


class SnrEstimator(Block):
    """Tag each frame with an estimate of the SNR that its symbols will meet.

    A flowgraph has no way back from receiver to transmitter. Where the channel is the same both ways, as in time
    division duplex, the transmitter needs none: pilots that the other end sends are received here, over the same kind
    of channel at the same noise power, `delay` frames ago. The estimate is a running mean of σ² over frames.

    Input
    -----
    image : Image with the tag ``snr_db``, from which the channel of the pilots is made.

    Output
    ------
    image : Image, passed on with the tag ``snr_estimate_db``; the first frames, without pilots yet, have none.
    """

    image = In(Image)
    tagged = Out(Image)
    state = ("_waiting", "_variance")

    class Settings(Block.Settings):
        channel: Literal["awgn", "rayleigh", "rician", "composite"] = live("awgn", description="channel of the pilots")
        pilots: int = live(64, ge=2, le=4096, unit="symbols", description="pilots a frame")
        delay: int = setting(1, ge=0, le=1000, unit="frames", description="age of the newest estimate")
        memory: float = live(0.7, ge=0, lt=1, description="weight of the earlier estimate against the newest")
        time_step: float = live(
            1.0, ge=0, description="advance of the composite channel's t a frame, as FadingChannel's"
        )

    def start(self) -> None:
        self._waiting: deque[float] = deque()
        self._variance = 0.0

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        snr_db = frame.tags.get("snr_db")
        if isinstance(snr_db, (int, float)):
            pilots = pilot_symbols(s.pilots)
            with told_by(self, "channel"):
                heard = apply(
                    pilots, s.channel, float(snr_db), generator(self.seed, self.name, frame.seq),
                    time=frame.seq * s.time_step % 100,
                )  # fmt: skip
            self._waiting.append(noise_variance_from_pilots(heard.received, pilots, heard.csi))
        if len(self._waiting) > s.delay:
            newest = self._waiting.popleft()
            self._variance = s.memory * self._variance + (1 - s.memory) * newest if self._variance else newest
        if not self._variance:
            return frame.replace()
        return frame.replace(tags={"snr_estimate_db": snr_db_from(self._variance)})
