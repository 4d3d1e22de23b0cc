"""SentPictures: the pictures that a transmitter has kept, to measure the received ones by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blocks.ports import Image
from semstream.runtime import Block, BlockError, Frame, In, Out, SkipFrame, setting


class SentPictures(Block):
    """Give the sent picture for each received one, from a folder that an `ImageSink` of the transmitter has written.

    Input
    -----
    image : Image; only its tag ``number``, or without one its own number, is looked at.

    Output
    ------
    reference : Image, uint8 (H, W, 3). Where the folder has none of that number, the frame is skipped, counted as
    ``not kept``.

    Usage
    -----
    ``graph.connect(decoder, SentPictures(path="sent/"), sink.reference)`` beside
    ``graph.connect(decoder, sink.reconstruction)``: for measurements alone, for it takes more than samples.
    """

    image = In(Image)
    reference = Out(Image)

    class Settings(Block.Settings):
        path: str = setting(description="folder of pictures, named by number")
        format: str = setting("png", pattern="^(png|bmp)$", description="of the files, without loss")

    def start(self) -> None:
        self._path = Path(self.settings.path).expanduser()
        if not self._path.is_dir():
            raise BlockError(f"block {self.name!r}, setting 'path': there is no folder {self._path}")

    def process(self, frame: Frame) -> Frame:
        from PIL import Image as Pillow

        number = frame.tags.get("number", frame.seq)
        try:
            with Pillow.open(self._path / f"{number:08d}.{self.settings.format}") as file:
                picture = np.array(file.convert("RGB"))
        except (OSError, ValueError, TypeError):
            raise SkipFrame("not kept") from None
        return Frame({"image": picture})
