"""Arrays within a snapshot: ``{"dtype", "shape", "data"}`` with raw little-endian bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = frozenset({"uint8", "float32"})
MAX_BYTES = 2**23


def pack_array(array: NDArray[Any]) -> dict[str, Any]:
    """An array as msgpack values; uint8 stays, everything else becomes float32."""
    array = np.asarray(array, np.uint8 if array.dtype == np.uint8 else "<f4")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": array.tobytes()}


def unpack_array(value: Any) -> NDArray[Any]:
    """What `pack_array` packed.

    Raises
    ------
    ValueError
        If the value is not one, or its bytes do not fill its shape.
    """
    try:
        name, shape, data = value["dtype"], value["shape"], value["data"]
    except (TypeError, KeyError):
        raise ValueError("expected an array with dtype, shape and data") from None
    is_shape = isinstance(shape, list) and len(shape) <= 4 and all(type(n) is int and n >= 0 for n in shape)
    is_array = isinstance(name, str) and name in DTYPES and isinstance(data, bytes) and len(data) <= MAX_BYTES
    if not (is_shape and is_array):
        raise ValueError(f"expected up to 4 dimensions of {', '.join(sorted(DTYPES))}, got {name!r:.40}, {shape!r:.60}")
    flat = np.frombuffer(data, np.uint8 if name == "uint8" else "<f4")
    return flat.reshape(shape)


def shrink(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) reduced by whole steps until no side is longer than `side` (means over squares)."""
    step = -(-max(picture.shape[:2]) // side)
    if step == 1:
        return picture
    height, width = (max(1, n // step) for n in picture.shape[:2])
    cut = picture[: height * step, : width * step]
    if cut.shape[0] < step or cut.shape[1] < step:
        return picture[::step, ::step]
    squares = cut.reshape(height, step, width, step, 3)
    return squares.mean(axis=(1, 3)).round().astype(np.uint8)
