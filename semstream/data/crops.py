"""Photographs to train on: reading them, and the reduced copies that crops are cut from.

A small picture is a shrunk photograph, so shrinking by 1 to 8 before cropping gives the statistics of pictures of many
sizes. Each photograph is kept in memory as a pyramid of reduced copies; cutting a crop is then one slice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"})


class TrainingDataError(ValueError):
    """Training pictures that cannot be used: names the path, what was expected and the way out."""


def load_photographs(folder: Path, limit_bytes: int = 6 * 2**30) -> list[Pictures]:
    """Read every picture below `folder` as (H, W, 3) uint8, sorted by path, until `limit_bytes` are held.

    Unreadable files are left out.

    Raises
    ------
    TrainingDataError
        If no picture can be read.
    """
    pictures: list[Pictures] = []
    held = 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            with Image.open(path) as image:
                picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError):
            continue
        pictures.append(picture)
        held += picture.nbytes
        if held > limit_bytes:
            break
    if not pictures:
        raise TrainingDataError(
            f"training pictures {folder}: no readable picture ({', '.join(sorted(SUFFIXES))}) below it"
        )
    return pictures


def pyramid(picture: Pictures, crop: int, largest_factor: float, steps_an_octave: int = 2) -> list[Pictures]:
    """Copies of `picture` reduced by 2^(k / steps_an_octave), down to the crop's side or `largest_factor`."""
    levels = [picture]
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    k = 1
    while (factor := 2 ** (k / steps_an_octave)) <= largest_factor + 1e-9 and min(height, width) / factor >= crop:
        size = (round(width / factor), round(height / factor))
        levels.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)))
        k += 1
    return levels


def at_least(picture: Pictures, side: int) -> Pictures:
    """Enlarge a picture by reflection (repetition where it is too small) to at least `side` on both axes."""
    height, width = picture.shape[:2]
    if height >= side and width >= side:
        return picture
    pad = [(0, max(0, side - height)), (0, max(0, side - width)), (0, 0)]
    return np.pad(picture, pad, mode="symmetric")
