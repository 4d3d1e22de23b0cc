"""The default sequence: a window that moves over the photographs that scikit-image carries, without a network."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

from PIL import Image

from semstream.data.picture import Picture, PictureError, SourceError, read_picture, resample

# Colour photographs inside scikit-image's own wheel; its other data sets are downloaded on demand.
FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class MovingWindow:
    """A window gliding over photographs on Lissajous paths, cut to the next photograph every few frames.

    Frame i is a function of i alone, so any frame can be made directly and a replay shows the same pictures. The window
    shows at least 60 % of the photograph's shorter side, shrunk to the size asked for (at 32 pixels a native window
    would show nothing but blur); from there up to the photograph's own size it shows original pixels, and beyond that
    it is enlarged. It never fills more than 90 % of the photograph, so there is always motion.

    Parameters
    ----------
    size : (H, W)
        Frame size in pixels.
    cut_every : int
        Frames from one cut to the next.
    period : float
        Frames that a horizontal swing takes; the vertical one takes the golden ratio of it, so paths do not repeat.
    """

    coverage = 0.6
    margin = 0.9

    def __init__(self, size: tuple[int, int] = (256, 256), cut_every: int = 24, period: float = 200.0) -> None:
        if cut_every < 1 or not period > 0:
            raise SourceError(f"cut_every, period: expected at least 1 frame, got {cut_every}, {period}")
        self.size = size
        self.cut_every = cut_every
        self.period = period
        self._photographs = [Image.fromarray(read_picture(path)) for path in photograph_files()]

    def frame(self, index: int) -> Picture:
        """Picture of one frame.

        Parameters
        ----------
        index : int
            Frame number, 0 and up.

        Returns
        -------
        ndarray (H, W, 3), uint8
        """
        shot = index // self.cut_every
        photograph = self._photographs[shot % len(self._photographs)]
        height, width = self.size
        # Photograph pixels a frame pixel: above 1 for coverage, below 1 to stay within the margin, else exactly 1.
        shrink = self.coverage * min(photograph.height, photograph.width) / min(height, width)
        largest = self.margin * min(photograph.height / height, photograph.width / width)
        scale = min(max(shrink, 1.0), largest)
        # The shot's own phases make every visit to a photograph another path.
        across = _swing(index / self.period + shot * _GOLDEN)
        down = _swing(index * _GOLDEN / self.period + shot * _GOLDEN * _GOLDEN + 0.25)
        left = across * (photograph.width - width * scale)
        top = down * (photograph.height - height * scale)
        if scale == 1.0:
            left, top = float(round(left)), float(round(top))  # whole steps show original pixels
        return resample(photograph, self.size, (left, top, left + width * scale, top + height * scale))


def _swing(turns: float) -> float:
    return 0.5 + 0.5 * math.sin(2.0 * math.pi * turns)


def photograph_files() -> list[Path]:
    """Paths of scikit-image's colour photographs; scikit-image itself is not imported and downloads nothing.

    Raises
    ------
    SourceError
        If scikit-image or all of its photographs are missing.
    """
    spec = importlib.util.find_spec("skimage")
    folders = [Path(folder) / "data" for folder in (spec.submodule_search_locations if spec else None) or ()]
    found = [folder / name for name in FILES for folder in folders if (folder / name).is_file()]
    if not found:
        raise SourceError(
            f"default source: expected scikit-image's photographs ({', '.join(FILES)}), found none; "
            "run: pip install scikit-image, or give a folder, picture or video as the source"
        )
    return found


def open_photographs(size: tuple[int, int] | None) -> MovingWindow:
    """The default moving window, 256 x 256 where no size is asked for. Raises SourceError if it cannot be made."""
    try:
        return MovingWindow(size or (256, 256))
    except PictureError as error:
        raise SourceError(
            f"default source: a photograph of scikit-image cannot be read: {error}; reinstall it"
        ) from error
