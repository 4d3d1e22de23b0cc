"""Pictures for a sweep over SNRs."""

from __future__ import annotations

from blocks import ImageSource


def swept_pictures(source: str, size: int, frames: int, hold: int, fps: float = 0.0) -> ImageSource:
    """Pictures for a sweep that holds each SNR for `hold` frames.

    Every SNR meets the same pictures, so that their qualities compare; in real time (`fps`) the pictures run on.

    Parameters
    ----------
    source, size, frames, fps
        Options of the same names.
    hold
        Frames in a row at one SNR.
    """
    # Without a source a window wanders over photographs: it goes far enough between frames to show several.
    step = 1 if source or fps else max(1, 120 // hold)
    return ImageSource(
        source=source,
        size=size or None,
        frames=frames,
        fps=fps,
        loop=bool(source),
        repeat=0 if fps else hold,
        every=step,
    )
