"""ImageSink: pictures to files or to a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    ``ImageSink(path="received.mp4", fps=25)`` writes H.264.
    """

    image = In(Image)

    class Settings(Block.Settings):
        path: str = setting(description="folder, or file that ends in .mp4, .mkv, .mov or .avi")
        format: str = setting("png", pattern="^(png|jpg|webp|bmp)$", description="format of the files in a folder")
        fps: int = setting(25, ge=1, le=1000, unit="1/s", description="rate that a video is played at")

    def start(self) -> None:
        self._path = Path(self.settings.path).expanduser()
        self._video = self._path.suffix.lower() in VIDEO_SUFFIXES
        self._container: Any = None
        self._stream: Any = None
        (self._path.parent if self._video else self._path).mkdir(parents=True, exist_ok=True)

    def process(self, frame: Frame) -> None:
        if self._video:
            self._write_video(frame)
            return
        from PIL import Image as Pillow

        name = f"{frame.seq:08d}.{self.settings.format}"
        Pillow.fromarray(frame["image"]).save(self._path / name, quality=95)

    def _write_video(self, frame: Frame) -> None:
        import av

        height, width = (n // 2 * 2 for n in frame["image"].shape[:2])
        if not height or not width:
            raise SkipFrame("size")
        if self._container is None:
            self._container = av.open(str(self._path), "w")
            self._stream = self._container.add_stream("libx264", rate=self.settings.fps, options={"crf": "16"})
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        if (height, width) != (self._stream.height, self._stream.width):
            raise SkipFrame("size")
        picture = av.VideoFrame.from_ndarray(frame["image"][:height, :width].copy(), format="rgb24")
        self._container.mux(self._stream.encode(picture))

    def stop(self) -> None:
        if getattr(self, "_container", None) is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
