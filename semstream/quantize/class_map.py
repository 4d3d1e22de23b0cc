"""The class of every feature as side information, where classes are a matter of the frame (element granularity).

Classes are base-m digits, as many to a 64-bit word as fit: 40 of three classes take 64 bits, 1.6 bits a feature against
log2(3) = 1.585; a word a feature apart (2 bits) would cost a quarter more. The last word takes the bits it needs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.errors import PackingError

__all__ = ["class_map_bits", "pack_class_map", "unpack_class_map"]


@lru_cache(maxsize=256)
def _digits(m: int) -> int:
    if not 1 <= m <= 256:
        raise PackingError(f"m: expected 1..256 classes, got {m}")
    digits = 1
    while m > 1 and m ** (digits + 1) <= 2**64:
        digits += 1
    return digits


def class_map_bits(count: int, m: int) -> int:
    """Bits that the map of `count` features in `m` classes takes: 64 a full word, ⌈log2 m^r⌉ for the r left over."""
    digits = _digits(m)
    if count < 0:
        raise PackingError(f"count: expected >= 0, got {count}")
    return 0 if m == 1 else 64 * (count // digits) + (m ** (count % digits) - 1).bit_length()


def pack_class_map(classes: ArrayLike, m: int) -> NDArray[np.uint8]:
    """Class map to bytes.

    Parameters
    ----------
    classes : (n,) whole numbers 0..m-1.
    m : number of classes, 1..256.

    Returns
    -------
    (⌈class_map_bits(n, m)/8⌉,) uint8. It does not carry n and m, which both ends know.

    Raises
    ------
    PackingError
        A class outside 0..m-1, or another kind of array.
    """
    digits = _digits(m)
    c = np.asarray(classes)
    if c.ndim != 1 or (c.size and (c.dtype.kind not in "iu" or int(c.min()) < 0 or int(c.max()) >= m)):
        raise PackingError(f"classes: expected (n,) whole numbers 0..{m - 1}, got {c.dtype} {c.shape}")
    table = np.zeros((-(-c.size // digits), digits), np.uint64)
    table.reshape(-1)[: c.size] = c
    words = np.zeros(len(table), np.uint64)
    for digit in table.T[::-1]:
        words = words * np.uint64(m) + digit
    return words.astype("<u8").view(np.uint8)[: (class_map_bits(c.size, m) + 7) // 8].copy()


def unpack_class_map(payload: ArrayLike, count: int, m: int) -> NDArray[np.uint8]:
    """Class map of `count` features in `m` classes, (count,) uint8, from the bytes of `pack_class_map`.

    Raises
    ------
    PackingError
        Another length than the map takes, or digits that no map gives.
    """
    digits = _digits(m)
    p = np.asarray(payload)
    expected = (class_map_bits(count, m) + 7) // 8
    if p.dtype != np.uint8 or p.shape != (expected,):
        raise PackingError(f"class map: {count} features in {m} classes take {expected} bytes, got {p.dtype} {p.shape}")
    if m == 1:
        return np.zeros(count, np.uint8)
    padded = np.zeros(-(-count // digits) * 8, np.uint8)
    padded[: p.size] = p
    words = padded.view("<u8").astype(np.uint64)
    classes = np.empty((words.size, digits), np.uint8)
    for i in range(digits):
        words, classes[:, i] = np.divmod(words, np.uint64(m))
    flat = classes.reshape(-1)
    if words.any() or flat[count:].any():
        raise PackingError(f"class map: holds a number that {digits} classes of 0..{m - 1} cannot give")
    return flat[:count].copy()
