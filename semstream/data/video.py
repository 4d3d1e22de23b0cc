"""Pictures out of video files and cameras, by PyAV."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semstream.data.picture import Corrupt, Item, SourceError

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .wmv .flv .ogv .y4m .3gp .h264 .hevc".split()  # noqa: SIM905
)
# Where FFmpeg looks for cameras: (device format, its name of camera N); DirectShow has names only.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "")}


class Video:
    """A video file, decoded frame by frame; each iteration starts at its beginning.

    Frames that cannot be decoded become `Corrupt` items and decoding goes on behind them.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SourceError
        If the file is no video that FFmpeg reads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        container = _open(str(path), str(path))
        self.length: int | None = container.streams.video[0].frames or None
        container.close()

    def __iter__(self) -> Iterator[Item]:
        container = _open(str(self.path), str(self.path))
        try:
            yield from _decode(container, str(self.path))
        finally:
            container.close()


class Camera:
    """A camera as an endless sequence; it is opened at once so that a missing one is known at once.

    Parameters
    ----------
    device : str
        A number, or FFmpeg's name of the device (``/dev/video2``; on Windows ``video=`` and the camera's name).

    Raises
    ------
    SourceError
        If there is no such camera or it is in use.
    """

    length: int | None = None

    def __init__(self, device: str) -> None:
        self.name = f"camera:{device}"
        self._format, numbered = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
        self._device = numbered.format(device) if device.isdecimal() else device
        if not self._device:
            raise SourceError(f"{self.name}: expected a device, such as camera:0 or camera:video=Integrated Camera")
        self._container: Any = _open(self._device, self.name, self._format)

    def __iter__(self) -> Iterator[Item]:
        container = self._container or _open(self._device, self.name, self._format)
        self._container = None
        try:
            yield from _decode(container, self.name)
        finally:
            container.close()


def _open(where: str, name: str, device_format: str | None = None) -> Any:
    import av

    kind = "camera" if device_format else "video"
    try:
        container = av.open(where, format=device_format)
    except (av.FFmpegError, ValueError, OSError) as error:
        hint = "plug it in, or close what uses it" if device_format else "give a video that ffprobe can read"
        raise SourceError(f"{name}: expected a readable {kind}, got {error}; {hint}") from error
    if not container.streams.video:
        container.close()
        raise SourceError(
            f"{name}: expected a {kind} with pictures, got {len(container.streams)} stream(s) without any"
        )
    return container


def _decode(container: Any, name: str) -> Iterator[Item]:
    import av

    stream = container.streams.video[0]
    packets = container.demux(stream)
    count = 0
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            yield Corrupt(f"the video ends in damage ({error})", f"{name}, frame {count}")
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if not isinstance(error, av.EOFError):
                yield Corrupt(f"a frame cannot be decoded ({error})", f"{name}, frame {count}")
                count += 1
            continue
        for frame in frames:
            picture = frame.to_ndarray(format="rgb24")
            quarter_turns = round(getattr(frame, "rotation", 0) / 90)
            yield np.ascontiguousarray(np.rot90(picture, quarter_turns))
            count += 1
