"""Bit packing of quantizer codes: exact, self-describing, vectorised.

    payload = header | body
    header  = 0xA7 | 0x10 + equal | varint G | G widths, 4 bits each | group sizes, varints (one if equal)
    body    = bit plane 0 | bit plane 1 | ... | zero bits up to a byte

The groups are put in order of falling width, so that bit j exists for a leading run of the codes: plane j is bit j of
that run. Each plane is then one mask and the whole body one ``numpy.packbits``, whatever mixture of widths there is: a
class a channel costs no more than one class. Bits that travel are exactly Σ width · size, plus the header
(`header_bits`) and at most 7 bits of padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semstream.quantize.class_map import class_map_bits, pack_class_map, unpack_class_map
from semstream.quantize.errors import PackingError

__all__ = [
    "MAX_CODES",
    "MAX_GROUPS",
    "MAX_WIDTH",
    "PackingError",
    "class_map_bits",
    "header_bits",
    "pack",
    "pack_class_map",
    "payload_bits",
    "unpack",
    "unpack_class_map",
]

MAX_WIDTH = 12
MAX_GROUPS = 4096
MAX_CODES = 2**26
_MAGIC = 0xA7
_VERSION = 0x10
_EQUAL = 0x01
_MAX_VARINT_BYTES = 4  # 28 bits, above MAX_CODES

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Layout:
    """Where the codes of some groups go: everything about a payload that does not depend on the codes."""

    header: Bytes
    order: NDArray[np.int64]  # groups by falling width
    widths: NDArray[np.uint16]  # in that order, (groups, 1)
    counts: tuple[int, ...]  # in that order
    runs: tuple[int, ...]  # codes that have bit j
    total_bits: int


@lru_cache(maxsize=64)
def _layout(raw: bytes, dtype: str, counts: tuple[int, ...], groups: int) -> _Layout:
    """Layout of groups with these widths; one count stands for all groups. Kept, as a stream repeats it."""
    w = np.frombuffer(raw, dtype)
    counts = counts * groups if len(counts) == 1 else counts
    if w.size != groups or groups > MAX_GROUPS:
        raise PackingError(f"widths: expected one for each of {groups} groups (at most {MAX_GROUPS}), got {w.size}")
    if w.size and (w.dtype.kind not in "iu" or int(w.min()) < 0 or int(w.max()) > MAX_WIDTH):
        raise PackingError(f"widths: expected whole numbers 0..{MAX_WIDTH}, got {w.dtype} {w.min()}..{w.max()}")
    if sum(counts) > MAX_CODES:
        raise PackingError(f"groups: expected at most {MAX_CODES} codes, got {sum(counts)}")
    w = w.astype(np.uint8)
    order = np.argsort(-w.astype(np.int64), kind="stable")
    n = np.asarray(counts, np.int64)
    runs = tuple(int(n[w > j].sum()) for j in range(int(w.max(initial=0))))
    header = np.frombuffer(_header(w, counts), np.uint8)
    return _Layout(header, order, w[order].astype(np.uint16)[:, None], tuple(n[order].tolist()), runs, sum(runs))


def _header(widths: Bytes, counts: tuple[int, ...]) -> bytes:
    equal = len(counts) > 0 and counts.count(counts[0]) == len(counts)
    nibbles = np.zeros(widths.size + widths.size % 2, np.uint8)
    nibbles[: widths.size] = widths
    sizes = counts[:1] if equal else counts
    head = bytes((_MAGIC, _VERSION | (_EQUAL if equal else 0))) + _varint(len(counts))
    return head + (nibbles[::2] | nibbles[1::2] << 4).tobytes() + b"".join(map(_varint, sizes))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _layout_of(widths: ArrayLike, counts: Sequence[int], groups: int | None = None) -> _Layout:
    w = np.asarray(widths)
    if w.ndim != 1:
        raise PackingError(f"widths: expected (groups,), got {w.shape}")
    if w.size == 0:
        w = w.astype(np.uint8)
    sizes = tuple(map(int, counts))
    groups = len(sizes) if groups is None else groups
    return _layout(w.tobytes(), w.dtype.str, sizes, groups)


def header_bits(widths: ArrayLike, counts: Sequence[int]) -> int:
    """Bits that the header takes for groups of these widths and sizes."""
    return 8 * _layout_of(widths, counts).header.size


def payload_bits(widths: ArrayLike, counts: Sequence[int]) -> int:
    """Bits of the codes alone, Σ width · size: what a bit budget counts."""
    return _layout_of(widths, counts).total_bits


def pack(
    groups: NDArray[np.integer] | Sequence[NDArray[np.integer]], widths: ArrayLike, *, checked: bool = True
) -> Bytes:
    """Codes of several groups to bytes.

    Parameters
    ----------
    groups : a sequence of 1-D integer arrays; or one 2-D array (G, N) of groups of one size, which is faster (for a
        width a channel: ``codes.reshape(-1, C).T``).
    widths : (G,) bits of a code in each group, 0..12. Codes of a group at 0 bits must be 0.
    checked : look whether the codes fit. A quantizer's own codes always do, and a small frame packs faster without.

    Returns
    -------
    (bytes,) uint8: the header, then ⌈Σ width · size / 8⌉ bytes.

    Raises
    ------
    PackingError
        A code that does not fit its width, a width outside 0..12, arrays of another kind or dimension, too many codes.
    """
    layout, codes = _ordered(groups, widths)
    if checked:
        _check(codes, layout)
    flat = codes.reshape(-1)[: layout.runs[0] if layout.runs else 0]
    low = flat.astype(np.uint8)
    high = (flat[: layout.runs[8]] >> np.uint16(8)).astype(np.uint8) if len(layout.runs) > 8 else low
    bits = np.empty(layout.total_bits, np.uint8)
    first = 0
    for j, run in enumerate(layout.runs):
        np.bitwise_and((low if j < 8 else high)[:run], _MASKS[j % 8], out=bits[first : first + run])
        first += run
    return np.concatenate((layout.header, np.packbits(bits, bitorder="little")))


_MASKS = tuple(np.uint8(1 << j) for j in range(8))


def _check(codes: NDArray[np.uint16], layout: _Layout) -> None:
    if codes.ndim == 2:
        too_wide = np.bitwise_or.reduce(codes, axis=1) >> layout.widths[:, 0]
    else:
        too_wide = codes >> np.repeat(layout.widths[:, 0], layout.counts)
    if too_wide.any():
        raise PackingError("codes: some do not fit the width of their group")


def _ordered(
    groups: NDArray[np.integer] | Sequence[NDArray[np.integer]], widths: ArrayLike
) -> tuple[_Layout, NDArray[np.uint16]]:
    """Codes as uint16 in the body's order: (G, N) for equal groups given as one array, else one row."""
    if isinstance(groups, np.ndarray):
        if groups.ndim != 2:
            raise PackingError(f"groups: expected (groups, codes) or 1-D arrays, got shape {groups.shape}")
        layout = _layout_of(widths, groups.shape[1:], groups.shape[0])
        return layout, _codes(groups).take(layout.order, axis=0)
    arrays = [np.asarray(g) for g in groups]
    if any(a.ndim != 1 for a in arrays):
        raise PackingError(f"groups: expected 1-D arrays, got shapes {[a.shape for a in arrays]}")
    layout = _layout_of(widths, [a.size for a in arrays])
    parts = [_codes(arrays[i]) for i in layout.order]
    return layout, np.concatenate(parts) if parts else np.zeros(0, np.uint16)


def _codes(group: NDArray[np.integer]) -> NDArray[np.uint16]:
    if group.dtype == np.uint16:
        return group.view(np.uint16)
    if group.dtype.kind not in "iu" and group.size:
        raise PackingError(f"codes: expected whole numbers, got dtype {group.dtype}")
    if group.size and (int(group.min()) < 0 or int(group.max()) >= 2**MAX_WIDTH):
        raise PackingError(f"codes: expected 0..{2**MAX_WIDTH - 1}, got {group.min()}..{group.max()}")
    return group.astype(np.uint16)


def unpack(payload: ArrayLike, max_codes: int = MAX_CODES) -> tuple[list[NDArray[np.uint16]], NDArray[np.uint8]]:
    """Groups and widths of a payload that `pack` made.

    Parameters
    ----------
    payload : (bytes,) uint8.
    max_codes : largest number of codes to accept; a header that claims more is refused before memory is taken for it.

    Returns
    -------
    groups : list of uint16 arrays, in the order in which they were packed; a group at 0 bits is zeros.
    widths : (G,) uint8.

    Raises
    ------
    PackingError
        The payload is cut short, too long, foreign, or claims what it cannot hold.
    """
    p = np.asarray(payload)
    if p.dtype != np.uint8 or p.ndim != 1:
        raise PackingError(f"payload: expected (bytes,) uint8, got {p.dtype} {p.shape}")
    widths, counts, start = _read_header(p, max_codes)
    layout = _layout_of(widths, counts)
    body = np.ascontiguousarray(p[start:])
    if body.size != (layout.total_bits + 7) // 8:
        promised = (layout.total_bits + 7) // 8
        raise PackingError(f"payload: {body.size} bytes follow the header, which promises {promised}")
    if layout.total_bits % 8 and int(body[-1]) >> (layout.total_bits % 8):
        raise PackingError("payload: the bits after the last code are not zero")
    codes = _from_planes(np.unpackbits(body, bitorder="little"), layout.runs)
    groups: list[NDArray[np.uint16]] = [codes[:0]] * len(counts)
    first = 0
    for place, width, count in zip(layout.order.tolist(), layout.widths[:, 0].tolist(), layout.counts, strict=True):
        groups[place] = codes[first : first + count] if width else np.zeros(count, np.uint16)
        first += count
    return groups, widths


def _from_planes(bits: Bytes, runs: tuple[int, ...]) -> NDArray[np.uint16]:
    low = np.zeros(runs[0] if runs else 0, np.uint8)
    high = np.zeros(runs[8] if len(runs) > 8 else 0, np.uint8)
    first = 0
    for j, run in enumerate(runs):
        plane = bits[first : first + run]
        (low if j < 8 else high)[:run] |= plane << np.uint8(j % 8)
        first += run
    codes = low.astype(np.uint16)
    codes[: high.size] |= high.astype(np.uint16) << np.uint16(8)
    return codes


def _read_header(p: Bytes, max_codes: int) -> tuple[Bytes, tuple[int, ...], int]:
    longest = 2 + _MAX_VARINT_BYTES + MAX_GROUPS // 2 + MAX_GROUPS * _MAX_VARINT_BYTES
    head = p[:longest].tobytes()
    if len(head) < 3 or head[0] != _MAGIC or head[1] & ~_EQUAL != _VERSION:
        raise PackingError(f"payload: does not start like packed codes, but with {head[:2].hex() or 'nothing'}")
    groups, at = _read_varint(head, 2)
    if groups > MAX_GROUPS:
        raise PackingError(f"payload: claims {groups} groups, at most {MAX_GROUPS} are allowed")
    packed = np.frombuffer(head[at : at + (groups + 1) // 2], np.uint8)
    at += (groups + 1) // 2
    nibbles = np.stack((packed & 0x0F, packed >> 4), axis=1).reshape(-1)
    widths = np.ascontiguousarray(nibbles[:groups])
    if widths.size != groups or (widths > MAX_WIDTH).any() or nibbles[groups:].any():
        raise PackingError(f"payload: the widths of its {groups} groups are cut short or not 0..{MAX_WIDTH}")
    counts: list[int] = []
    equal = bool(head[1] & _EQUAL)
    for _ in range(min(groups, 1) if equal else groups):
        count, at = _read_varint(head, at)
        counts.append(count)
    counts = counts * groups if equal else counts
    if sum(counts) > max_codes:
        raise PackingError(f"payload: claims {sum(counts)} codes, at most {max_codes} are allowed here")
    return widths, tuple(counts), at


def _read_varint(head: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        if at + i >= len(head):
            raise PackingError("payload: the header is cut short")
        byte = head[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise PackingError("payload: a number in the header is too large")
