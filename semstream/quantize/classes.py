"""Priority classes: features or channels ranked by contribution and cut into m classes of equal size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import QuantizeError

__all__ = ["class_means", "class_sizes", "class_sums", "classify"]


def classify(contribution: ArrayLike, m: int) -> NDArray[np.uint8]:
    """Priority class of each entry, 0 the most important.

    Parameters
    ----------
    contribution : any shape, finite: (C,) for a class a channel, (h, w, C) for a class a feature.
    m : number of classes, 1..256. With more classes than entries the surplus classes stay empty.

    Returns
    -------
    uint8 of the same shape. Sizes differ by one at most; of equal contributions the earlier entry ranks higher.

    Raises
    ------
    QuantizeError
        NaN or infinite contributions, or m outside 1..256.
    """
    c = np.asarray(contribution, np.float64)
    if not 1 <= m <= 256:
        raise QuantizeError(f"m: expected 1..256 classes, got {m}")
    if not np.isfinite(c).all():
        raise QuantizeError(f"contribution: {np.count_nonzero(~np.isfinite(c))} of {c.size} values are NaN or infinite")
    flat = c.reshape(-1)
    classes = np.empty(flat.size, np.uint8)
    rank = np.arange(flat.size)
    classes[np.argsort(-flat, kind="stable")] = rank if m >= flat.size else rank * m // flat.size
    return classes.reshape(c.shape)


def class_sizes(classes: ArrayLike, m: int) -> NDArray[np.int64]:
    """Entries in each class, (m,) int64. For a class a channel, times h·w gives features."""
    return np.bincount(np.asarray(classes).reshape(-1), minlength=m).astype(np.int64)


def class_sums(values: ArrayLike, classes: ArrayLike, m: int) -> NDArray[np.float64]:
    """Sum of `values` (the classes' shape) over each class, (m,) float64; an empty class gives 0."""
    flat = np.asarray(values, np.float64).reshape(-1)
    return np.bincount(np.asarray(classes).reshape(-1), weights=flat, minlength=m).astype(np.float64)


def class_means(values: ArrayLike, classes: ArrayLike, m: int) -> NDArray[np.float64]:
    """Mean over each class of a channel's values: (C,) -> (m,), or (C, B) -> (m, B); an empty class gives 0."""
    v = np.asarray(values, np.float64)
    members = np.zeros((m, v.shape[0]))
    members[np.asarray(classes).reshape(-1), np.arange(v.shape[0])] = 1.0
    sizes = members.sum(axis=1)
    means: NDArray[np.float64] = (members / np.maximum(sizes, 1)[:, None]) @ v
    return means
