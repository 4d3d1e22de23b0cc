"""ImageSource: pictures from a folder, a file, a video, a camera, a dataset, or a window moving over photographs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

from blocks._errors import told_by
from blocks.ports import Image
from semstream.data.sequence import Corrupt, Item, open_sequence
from semstream.runtime import Block, Frame, Out, live, setting


class ImageSource(Block):
    """A sequence of pictures.

    Output
    ------
    image : Image, uint8 (H, W, 3). Tag ``source``: where it is from.

    Usage
    -----
    ``ImageSource(source="holiday/", size=256, frames=100)``; with no source, a 256×256 window moves over the
    photographs that scikit-image carries. Pictures that cannot be read are skipped, logged, and
    counted as ``corrupt_picture``.
    """

    image = Out(Image)
    state = ("_taken", "_given")

    class Settings(Block.Settings):
        source: str = setting(
            "", description="folder, picture, video, .npz, CIFAR or Tiny ImageNet folder, camera:0; empty: photographs"
        )
        size: int | tuple[int, int] | None = setting(
            None, unit="pixels", description="side, or height and width, that each picture is resized and cut to"
        )
        frames: int = setting(0, ge=0, description="stop after so many frames; 0: at the end of the source")
        fps: float = live(0.0, ge=0, unit="1/s", description="pace in real time; 0: as fast as the graph takes them")
        first: int = setting(0, ge=0, description="pictures that are left out at the beginning")
        every: int = setting(1, ge=1, description="take one of so many pictures")
        loop: bool = setting(False, description="start again at the end")
        repeat: int = setting(0, ge=0, unit="frames", description="start again after so many; 0: only at the end")
        split: str = setting("test", pattern="^(test|train)$", description="part of a dataset")

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        """Whether it is no camera."""
        return not self.settings.source.startswith("camera:")

    def start(self) -> None:
        s = self.settings
        self._taken = self._given = 0
        with told_by(self, "source"):
            self._sequence = open_sequence(s.source, size=s.size, loop=s.loop, split=s.split)

    def _pictures(self) -> Iterator[Item]:
        s = self.settings
        while True:
            yield from islice(self._sequence, s.first, s.first + s.repeat * s.every if s.repeat else None, s.every)
            if not s.repeat:
                return

    def frames(self) -> Iterator[Frame]:
        limit = self.settings.frames or float("inf")
        due = time.monotonic()
        for item in islice(self._pictures(), self._taken if self.repeatable else 0, None):
            if self._given >= limit:
                return
            self._taken += 1
            if isinstance(item, Corrupt):
                self.log.warning("%s: %s; left out", item.path, item.reason)
                self.skip("corrupt_picture")
                continue
            if self.settings.fps:
                # A source in real time does not catch up: what it could not give in time is gone.
                due = max(due, time.monotonic() - 1 / self.settings.fps)
                if not self.pause(max(0.0, due - time.monotonic())):
                    return
                due += 1 / self.settings.fps
            self._given += 1
            yield Frame({"image": item}, tags={"source": self._sequence.name})
