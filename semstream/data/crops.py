"""Training crops: squares cut from photographs that were shrunk by a random factor first.

A small picture is a shrunk photograph, so shrinking by 1 to 8 before cropping gives the statistics of pictures of many
sizes. Each photograph is kept in memory as a pyramid of reduced copies; cutting a crop is then one slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class CropSampler:
    """Endless batches of random crops.

    Parameters
    ----------
    photographs
        Pictures (H, W, 3) uint8 of any sizes; smaller ones than the crop are enlarged by reflection.
    small
        Pictures of one small size, (N, S, S, 3) uint8, such as CIFAR-10's train images, or None.
    crop
        Side of a crop in pixels.
    small_share
        Share of crops taken from `small` where there is one.
    largest_factor
        Photographs are shrunk by 1 to this factor.
    seed
        Seed of the draw.
    """

    def __init__(
        self,
        photographs: Sequence[Pictures],
        small: Pictures | None = None,
        *,
        crop: int = 32,
        small_share: float = 0.5,
        largest_factor: float = 8.0,
        seed: int = 0,
    ) -> None:
        if not photographs and small is None:
            raise TrainingDataError("training pictures: neither photographs nor small pictures were given")
        self.crop = crop
        self.small = small
        self.small_share = small_share if photographs and small is not None else float(small is not None)
        self.pyramids = [pyramid(at_least(p, crop), crop, largest_factor) for p in photographs]
        self.random = np.random.default_rng(seed)

    def batch(self, count: int) -> Pictures:
        """Draw (count, crop, crop, 3) uint8, flipped left to right at random."""
        out = np.empty((count, self.crop, self.crop, 3), np.uint8)
        for i in range(count):
            if self.small is not None and self.random.random() < self.small_share:
                source = at_least(self.small[self.random.integers(len(self.small))], self.crop)
            else:
                levels = self.pyramids[self.random.integers(len(self.pyramids))]
                source = levels[self.random.integers(len(levels))]
            y = self.random.integers(source.shape[0] - self.crop + 1)
            x = self.random.integers(source.shape[1] - self.crop + 1)
            patch = source[y : y + self.crop, x : x + self.crop]
            out[i] = patch[:, ::-1] if self.random.random() < 0.5 else patch
        return out

    def batches(self, count: int) -> Iterator[Pictures]:
        """Batches without end, each drawn while the one before is used."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.batch, count)
            while True:
                ready = ahead.result()
                ahead = pool.submit(self.batch, count)
                yield ready


def at_least(picture: Pictures, side: int) -> Pictures:
    """Enlarge a picture by reflection (repetition where it is too small) to at least `side` on both axes."""
    height, width = picture.shape[:2]
    if height >= side and width >= side:
        return picture
    pad = [(0, max(0, side - height)), (0, max(0, side - width)), (0, 0)]
    return np.pad(picture, pad, mode="symmetric")
