"""The pictures of an evaluation, in batches of one size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semstream.data.sequence import Corrupt, SourceError, open_sequence

BATCH_PIXELS = 2**17


@dataclass
class Batch:
    """Pictures of one size, (N, H, W, 3) uint8, and the number of the first in the evaluation."""

    first: int
    pictures: NDArray[np.uint8]


@dataclass
class Pictures:
    """All pictures of an evaluation.

    Attributes
    ----------
    name
        Of the folder or file.
    batches
        In order.
    skipped
        Why pictures were left out, a line each.
    """

    name: str
    batches: list[Batch]
    skipped: list[str]

    def __len__(self) -> int:
        return sum(len(batch.pictures) for batch in self.batches)

    def all(self) -> Iterator[NDArray[np.uint8]]:
        """Pictures one by one, (H, W, 3)."""
        for batch in self.batches:
            yield from batch.pictures


def open_pictures(path: Path | str, limit: int = 0, size: int = 0) -> Pictures:
    """Read the pictures of a folder, an .npz with ``x_test``, CIFAR, Tiny ImageNet, a video, or ("") scikit-image's.

    Parameters
    ----------
    path
        As for `semstream.data.sequence.open_sequence`.
    limit
        At most so many; 0 for all (60 of the endless moving window).
    size
        Side that every picture is fitted to; 0 leaves them as they are.

    Raises
    ------
    SourceError
        If the source is missing or no picture in it can be read.
    """
    sequence = open_sequence(path, size or None)
    endless = sequence.length is None and not str(path)
    skipped: list[str] = []
    good: list[NDArray[np.uint8]] = []
    # The window moves slowly: every 30th of its pictures shows something new.
    items = islice(sequence, 0, None, 30) if endless else iter(sequence)
    wanted = limit or (60 if endless else 0)
    for item in items:
        if isinstance(item, Corrupt):
            skipped.append(f"{Path(item.path).name}: {item.reason}")
        else:
            good.append(item)
        if wanted and len(good) >= wanted:
            break
    if not good:
        why = f" ({skipped[0]})" if skipped else ""
        raise SourceError(f"{path}: expected pictures, none can be read{why}")
    return Pictures(sequence.name, list(_batched(good)), skipped)


def _batched(pictures: list[NDArray[np.uint8]]) -> Iterator[Batch]:
    start = 0
    while start < len(pictures):
        height, width = pictures[start].shape[:2]
        most = max(1, BATCH_PIXELS // (height * width))
        end = start + 1
        while end < len(pictures) and end - start < most and pictures[end].shape == pictures[start].shape:
            end += 1
        yield Batch(start, np.stack(pictures[start:end]))
        start = end
