"""Training crops cut on the device that trains: every picture lies there once, as one run of pixels.

A GPU takes 10,000 crops of 32×32 a second and more; cut one by one in Python they come at a tenth of that. Here the
pixels of all pictures and of their reduced copies lie one after the other in one uint8 tensor, and a batch is drawn,
cut and mirrored by a handful of operations on whole batches, none of which waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semstream.data.crops import Pictures, TrainingDataError, at_least, pyramid


class CropBank:
    """Random crops of pictures that lie on a device.

    Parameters
    ----------
    pixels
        (N, 3) uint8, the rows of every picture one after the other.
    shapes
        (M, 2) height and width of each picture, in the order in which they lie in `pixels`.
    group
        (M,) which photograph a picture is a reduced copy of. A photograph is drawn first, then one of its copies, so
        that one with more copies does not count for more. Small pictures, a photograph each, come last.
    photographs
        How many of the groups are photographs; the others are small pictures.
    crop
        Side of a crop in pixels; no picture may be smaller.
    small_share
        Share of crops taken from small pictures where there are both.
    device, seed
        Where the pixels lie, and the seed of the draw.

    Raises
    ------
    TrainingDataError
        If there are no pictures, or one is smaller than the crop.
    """

    def __init__(
        self,
        pixels: Tensor,
        shapes: NDArray[np.int64],
        group: NDArray[np.int64],
        photographs: int,
        *,
        crop: int,
        small_share: float = 0.5,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if not len(shapes):
            raise TrainingDataError("training pictures: neither photographs nor small pictures were given")
        if shapes.min() < crop:
            raise TrainingDataError(f"training pictures: one is smaller than a crop of {crop}×{crop} pixels")
        self.crop = crop
        groups = int(group[-1]) + 1
        self.photographs, self.small = photographs, groups - photographs
        self.small_share = small_share if self.photographs and self.small else float(self.small > 0)
        self.device = device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.pixels = pixels.to(device)
        areas = shapes[:, 0] * shapes[:, 1]

        def there(values: NDArray[np.int64]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)

        self.start = there(np.concatenate(([0], np.cumsum(areas)[:-1])))
        self.height, self.width = there(shapes[:, 0]), there(shapes[:, 1])
        self.first, self.copies = there(np.searchsorted(group, np.arange(groups))), there(np.bincount(group))
        self.steps = torch.arange(crop, device=device)

    def draw(self, count: int) -> Tensor:
        """Draw (count, crop, crop, 3) uint8 on the device, mirrored left to right at random."""
        draw = torch.rand((6, count), generator=self.generator, device=self.device)
        small = draw[0] < self.small_share
        which = torch.where(small, self.photographs + _below(draw[1], self.small), _below(draw[1], self.photographs))
        picture = self.first[which] + _below(draw[2], self.copies[which])
        height, width = self.height[picture], self.width[picture]
        y = _below(draw[3], height - self.crop + 1)[:, None] + self.steps
        x = _below(draw[4], width - self.crop + 1)[:, None] + torch.where(
            draw[5, :, None] < 0.5, self.steps.flip(0), self.steps
        )
        at = self.start[picture][:, None, None] + y[:, :, None] * width[:, None, None] + x[:, None, :]
        return self.pixels[at]

    def batch(self, count: int) -> Tensor:
        """Draw (count, 3, crop, crop) float32 in [0, 1] on the device: what a codec trains on."""
        return self.draw(count).permute(0, 3, 1, 2).contiguous().float() / 255


def _below(uniform: Tensor, bound: Tensor | int) -> Tensor:
    """Whole numbers from 0 to `bound` − 1 out of uniform ones in [0, 1)."""
    # In float32 a number just below 1 times a large bound rounds up to it.
    return (uniform.double() * bound).long().clamp(max=bound - 1).clamp(min=0)


def crop_bank(
    photographs: Sequence[Pictures],
    small: Pictures | None = None,
    *,
    crop: int = 32,
    largest_factor: float = 8.0,
    small_share: float = 0.5,
    device: str = "cpu",
    seed: int = 0,
) -> CropBank:
    """Reduce photographs by 1 to `largest_factor`, lay everything out and hand it to the device.

    Parameters
    ----------
    photographs
        Pictures (H, W, 3) uint8 of any sizes; smaller ones than the crop are enlarged by reflection.
    small
        (N, S, S, 3) uint8, such as CIFAR-10's train images, or None.
    crop, largest_factor, small_share, device, seed
        As for `CropBank`, and the factor down to which photographs are reduced.
    """
    pixels, shapes, group = laid_out(photographs, small, crop, largest_factor)
    return CropBank(
        torch.from_numpy(pixels),
        shapes,
        group,
        len(photographs),
        crop=crop,
        small_share=small_share,
        device=device,
        seed=seed,
    )


def laid_out(
    photographs: Sequence[Pictures], small: Pictures | None, crop: int, largest_factor: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels (N, 3), shapes (M, 2) and groups (M,) of all pictures, as `CropBank` takes them."""
    with ThreadPoolExecutor() as pool:  # Pillow reduces without Python's lock
        pyramids = list(
            pool.map(lambda photograph: pyramid(at_least(photograph, crop), crop, largest_factor), photographs)
        )
    pyramids += [[at_least(picture, crop)] for picture in (() if small is None else small)]
    pictures = [picture for copies in pyramids for picture in copies]
    group = np.repeat(np.arange(len(pyramids)), [len(copies) for copies in pyramids])
    pixels = np.concatenate([p.reshape(-1, 3) for p in pictures]) if pictures else np.empty((0, 3), np.uint8)
    return pixels, np.array([p.shape[:2] for p in pictures], np.int64).reshape(-1, 2), group
