"""ImageSink: pictures to files or to a video."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from blocks.ports import Image
from semstream.runtime import Block, Frame, In, SkipFrame, setting

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi"})


class ImageSink(Block):
    """Write pictures to a folder, one file a frame, or to one video file.

    Input
    -----
    image : Image, uint8 (H, W, 3). In a video all pictures have the size of the first; others are skipped, counted as
    ``size``. A side that is odd is cut by one pixel in a video, as its colour format needs.

    Usage
    -----
    ``ImageSink(path="received/")`` writes ``received/00000000.png`` and so on by frame number;
    ``ImageSink(path="received.mp4", fps=25)`` writes H.264. Where it may be started again (durable edges), the pictures
    of a video lie in ``received.mp4.frames`` until the end, for an encoder cannot be taken up where it stood.
    """

    image = In(Image)
    state = ("_size",)

    class Settings(Block.Settings):
        path: str = setting(description="folder, or file that ends in .mp4, .mkv, .mov or .avi")
        format: str = setting("png", pattern="^(png|jpg|webp|bmp)$", description="format of the files in a folder")
        fps: int = setting(25, ge=1, le=1000, unit="1/s", description="rate that a video is played at")

    def start(self) -> None:
        self._path = Path(self.settings.path).expanduser()
        self._video = self._path.suffix.lower() in VIDEO_SUFFIXES
        self._frames = self._path.with_name(f"{self._path.name}.frames")
        self._done = self._path.with_name(f"{self._path.name}.done")
        self._container: Any = None
        self._stream: Any = None
        self._size: tuple[int, int] | None = None
        if self.run and self._video and not self.restarts:
            for old in (self._frames, self._done):  # of a run that was killed
                shutil.rmtree(old, ignore_errors=True)
        (self._path.parent if self._video else self._path).mkdir(parents=True, exist_ok=True)

    def process(self, frame: Frame) -> None:
        from PIL import Image as Pillow

        name = f"{frame.seq:08d}.{self.settings.format}"
        if not self._video:
            Pillow.fromarray(frame["image"]).save(self._path / name, quality=95)
            return
        height, width = (n // 2 * 2 for n in frame["image"].shape[:2])
        if not height or not width or (self._size or (height, width)) != (height, width):
            raise SkipFrame("size")
        self._size = height, width
        if self.run:
            self._frames.mkdir(exist_ok=True)
            Pillow.fromarray(frame["image"]).save(self._frames / f"{frame.seq:08d}.png", compress_level=1)
        else:
            self._encode(frame["image"])

    def _encode(self, image: np.ndarray) -> None:
        import av

        assert self._size is not None
        height, width = self._size
        if self._container is None:
            self._container = av.open(str(self._path), "w")
            self._stream = self._container.add_stream("libx264", rate=self.settings.fps, options={"crf": "16"})
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(image[:height, :width].copy(), format="rgb24")
        self._container.mux(self._stream.encode(picture))

    def stop(self) -> None:
        if self.resumes:
            return
        if self.run and self._video:
            from PIL import Image as Pillow

            for path in sorted(self._frames.glob("*.png")):
                image = np.asarray(Pillow.open(path))
                self._size = self._size or (image.shape[0] // 2 * 2, image.shape[1] // 2 * 2)
                self._encode(image)
        if getattr(self, "_container", None) is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
        if self.run and self._video:
            with contextlib.suppress(FileNotFoundError):
                self._frames.rename(self._done)  # at once: a life after this one makes no video of half of them
            shutil.rmtree(self._done, ignore_errors=True)
