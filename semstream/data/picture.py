"""Reading one picture of any common kind as 8-bit RGB, and fitting it to a size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence

Picture = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB."""

SUFFIXES = frozenset(
    ".png .jpg .jpeg .jpe .bmp .ppm .pgm .pbm .pnm .tif .tiff .webp .gif .avif .jp2 .tga".split()  # noqa: SIM905
)
MAX_PIXELS = 2**26
"""Pictures of more pixels are refused (a small file can unpack to many gigabytes)."""


class SourceError(ValueError):
    """A source of pictures that cannot be opened: names it, what was expected, what was got and the way out."""


class PictureError(ValueError):
    """A picture that cannot be read; the message is the reason."""


@dataclass(frozen=True)
class Corrupt:
    """Stands in a sequence for a picture that cannot be read, so that it can be counted and skipped.

    Parameters
    ----------
    reason : str
        Why, in words.
    path : str
        Which file, and which picture of it.
    """

    reason: str
    path: str


Item = Picture | Corrupt


def read_picture(path: Path | str) -> Picture:
    """Read a picture file (the first, where it holds several) as `to_rgb` makes it.

    Parameters
    ----------
    path : path
        A file of any format that Pillow reads; the content counts, not the suffix.

    Returns
    -------
    ndarray (H, W, 3), uint8

    Raises
    ------
    PictureError
        If the file is missing, cut short, no picture, or of more than `MAX_PIXELS` pixels.
    """
    return next(read_pictures(path))


def read_pictures(path: Path | str) -> Iterator[Picture]:
    """Read all pictures of a file: one, or an animation's frames, or a TIFF's pages. Raises as `read_picture`."""
    try:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                if frame.width * frame.height > MAX_PIXELS:
                    raise PictureError(_too_large(f"{frame.width} x {frame.height} pixels are"))
                yield to_rgb(frame)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError("the file is missing") from None
    except Image.DecompressionBombError:
        raise PictureError(_too_large("its pixels are many times")) from None
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, struct.error, zlib.error, ...
        raise PictureError(f"not a readable picture ({error or type(error).__name__})") from error


def _too_large(what: str) -> str:
    return f"{what} more than the limit of {MAX_PIXELS / 1e6:.0f} million; shrink it before it is sent"


def to_rgb(image: Image.Image) -> Picture:
    """Convert a Pillow image of any mode to 8-bit RGB, upright.

    EXIF rotation is applied. Greyscale fills the three channels, palettes are expanded, transparency is laid on white.
    16-bit values are cut to their high byte (``v >> 8``), as Pillow does itself for 16-bit RGB.

    Parameters
    ----------
    image : PIL.Image.Image

    Returns
    -------
    ndarray (H, W, 3), uint8, its own memory

    Raises
    ------
    PictureError
        If the pixels are floating point, whose range is not defined.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise PictureError("floating-point pixels have no defined range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def parse_size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """(H, W) of a size option: None keeps, an integer N is (N, N). Raises SourceError below 1 pixel."""
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise SourceError(f"size: expected 1 pixel to {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def fit(picture: Picture, size: tuple[int, int] | None) -> Picture:
    """Resize a picture until it covers the size, keeping its shape, and cut out the centre.

    Parameters
    ----------
    picture : ndarray (h, w, 3), uint8
    size : (H, W) or None
        None returns the picture itself.

    Returns
    -------
    ndarray (H, W, 3), uint8
    """
    if size is None or picture.shape[:2] == size:
        return picture
    height, width = picture.shape[:2]
    scale = min(height / size[0], width / size[1])
    covered = size[1] * scale, size[0] * scale
    left, top = (width - covered[0]) / 2, (height - covered[1]) / 2
    return resample(Image.fromarray(picture), size, (left, top, left + covered[0], top + covered[1]))


def resample(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Picture:
    """Resample a ``box`` (left, top, right, bottom, in pixels and fractions) of an RGB image to ``size`` (H, W)."""
    right, bottom = min(box[2], image.width), min(box[3], image.height)  # rounding may step over the edge
    shown = image.resize(
        (size[1], size[0]), Image.Resampling.LANCZOS, (max(box[0], 0.0), max(box[1], 0.0), right, bottom)
    )
    return np.array(shown)
