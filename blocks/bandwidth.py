"""BandwidthSchedule and KeepLast: a bandwidth that changes, and what a receiver shows of a frame that did not fit."""

from __future__ import annotations

import numpy as np

from blocks.ports import Image
from semstream.phy import generator
from semstream.runtime import Block, Frame, In, Out, live


class BandwidthSchedule(Block):
    """Tag each frame with the channel uses that there are for it.

    The bandwidth is drawn anew every `hold` frames, evenly in the logarithm between `low` and `high`, from the seed.

    Input
    -----
    image : Image.

    Output
    ------
    tagged : Image, passed on with the tag ``bandwidth_uses``: complex channel uses for this frame, from the drawn CBR.
    """

    image = In(Image)
    tagged = Out(Image)

    class Settings(Block.Settings):
        low: float = live(1 / 24, gt=0, le=2, unit="CBR", description="least bandwidth, channel uses a source value")
        high: float = live(1 / 3, gt=0, le=2, unit="CBR", description="most bandwidth")
        hold: int = live(5, ge=1, unit="frames", description="frames that meet the same bandwidth")

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        share = generator(self.seed, self.name, frame.seq // s.hold).random()
        low, high = min(s.low, s.high), max(s.low, s.high)
        ratio = low * (high / low) ** share
        return frame.replace(tags={"bandwidth_uses": int(ratio * frame["image"].size)})


class KeepLast(Block):
    """Show the last picture again for a frame that took more channel uses than there were: it came too late.

    Before any picture has come, grey is shown. Put it behind the decoder.

    Input
    -----
    image : Image with the tags ``channel_uses`` and ``bandwidth_uses``; without them every frame is in time.

    Output
    ------
    shown : Image with the tag ``late``; a frame that is has ``concealed`` too.
    """

    image = In(Image)
    shown = Out(Image)
    state = ("_last",)

    def start(self) -> None:
        self._last: np.ndarray | None = None

    def process(self, frame: Frame) -> Frame:
        uses, limit = frame.tags.get("channel_uses"), frame.tags.get("bandwidth_uses")
        late = isinstance(uses, int) and isinstance(limit, int) and uses > limit
        if not late:
            self._last = frame["image"]
        elif self._last is None or self._last.shape != frame["image"].shape:
            self._last = np.full_like(frame["image"], 128)
        assert self._last is not None
        tags = {"late": True, "concealed": True} if late else {"late": False}
        return frame.replace({"image": self._last}, tags=tags)
