"""PMT, GNU Radio's polymorphic types, in their serialized form (big-endian; checked against GNU Radio 3.10.5).

=============================  =====================================================================
Python                         PMT
=============================  =====================================================================
None, True, False              nil, true, false
int                            int32, int64 or uint64, the first that holds it
float, complex, str            double, complex, symbol
Pair(first, rest)              pair
list, tuple                    vector, tuple
dict                           dict, of which an empty one is nil
ndarray (N,)                   uniform vector: 8- to 64-bit integers, float32, float64, complex64, complex128
=============================  =====================================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from semstream.radio.errors import RadioError

TRUE, FALSE, SYMBOL, INT32, DOUBLE, COMPLEX, NIL, PAIR, VECTOR, DICT, UNIFORM, UINT64, TUPLE, INT64 = range(14)
MAX_DEPTH = 200
"""Deepest nesting that is read or written; a PMT list of n items nests n deep."""

_UNIFORM = tuple(
    np.dtype(f">{code}") for code in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16")
)
_SUBTYPE = {dtype.newbyteorder("="): number for number, dtype in enumerate(_UNIFORM)}
_CONSTANTS = {TRUE: True, FALSE: False, NIL: None}
_NUMBERS = {
    INT32: struct.Struct(">i"),
    INT64: struct.Struct(">q"),
    UINT64: struct.Struct(">Q"),
    DOUBLE: struct.Struct(">d"),
}
_COUNT = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_PARTS = struct.Struct(">dd")


@dataclass(frozen=True, slots=True)
class Pair:
    """A PMT pair. A PDU is one, of a dict and a uniform vector; a PMT list is a chain of them that ends in None."""

    first: Any
    rest: Any


def encode(value: Any) -> bytes:
    """A value as serialized PMT.

    Raises
    ------
    RadioError
        If there is no PMT for it.
    """
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def decode(data: bytes | memoryview) -> Any:
    """The value of a serialized PMT that fills `data`.

    Raises
    ------
    RadioError
        If it is cut short, damaged, followed by something, or nested deeper than `MAX_DEPTH`.
    """
    value, end = decode_from(data, 0)
    if end != len(data):
        raise RadioError(f"PMT: {len(data) - end} bytes follow the value of {end} bytes")
    return value


def decode_from(data: bytes | memoryview, offset: int) -> tuple[Any, int]:
    """The value that begins at an offset, and where it ends.

    No more memory is used than some times the bytes there are, whatever a length in them claims.

    Raises
    ------
    RadioError
        As `decode`.
    """
    reader = _Reader(memoryview(data), offset)
    try:
        value = reader.value(0)
    except struct.error:
        raise RadioError(f"PMT: cut short after {len(data)} bytes") from None
    return value, reader.place


class _Reader:
    def __init__(self, data: memoryview, place: int) -> None:
        self.data = data
        self.place = place

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        values = form.unpack_from(self.data, self.place)
        self.place += form.size
        return values

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.place:
            raise RadioError(f"PMT: a length of {count} bytes, and {len(self.data) - self.place} are there")
        part = self.data[self.place : self.place + count]
        self.place += count
        return part

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise RadioError(f"PMT: nested deeper than {MAX_DEPTH}")
        kind = self.take(1)[0]
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self.unpack(_NUMBERS[kind])[0]
        if kind == COMPLEX:
            return complex(*self.unpack(_PARTS))
        if kind == SYMBOL:
            return self.symbol()
        if kind == PAIR:
            return Pair(self.value(depth + 1), self.value(depth + 1))
        if kind == DICT:
            self.place -= 1
            return self.dict(depth)
        if kind in (VECTOR, TUPLE):
            count = self.unpack(_COUNT)[0]
            if count > len(self.data) - self.place:  # an item is a byte at least
                raise RadioError(f"PMT: {count} items in {len(self.data) - self.place} bytes")
            items = [self.value(depth + 1) for _ in range(count)]
            return items if kind == VECTOR else tuple(items)
        if kind == UNIFORM:
            return self.uniform()
        raise RadioError(f"PMT: no type has the number {kind:#04x} (at byte {self.place - 1})")

    def symbol(self) -> str:
        text = bytes(self.take(self.unpack(_LENGTH)[0]))
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise RadioError(f"PMT: a symbol that is not UTF-8: {text[:20]!r}") from None

    def dict(self, depth: int) -> dict[Any, Any]:
        cells = []
        while (kind := self.take(1)[0]) == DICT:
            cell = self.value(depth + 1)
            if not isinstance(cell, Pair):
                raise RadioError("PMT: a dict with a cell that is no pair of key and value")
            cells.append(cell)
        if kind != NIL:
            raise RadioError(f"PMT: a dict that ends in {kind:#04x}, not in nil")
        try:
            return {cell.first: cell.rest for cell in reversed(cells)}  # what was added last stands first
        except TypeError:
            raise RadioError("PMT: a dict with a key that is itself a container") from None

    def uniform(self) -> np.ndarray:
        subtype = self.take(1)[0]
        if subtype >= len(_UNIFORM):
            raise RadioError(f"PMT: a uniform vector of unknown elements {subtype:#04x}")
        dtype = _UNIFORM[subtype]
        count = self.unpack(_COUNT)[0]
        self.take(self.take(1)[0])  # padding
        elements = np.frombuffer(self.take(count * dtype.itemsize), dtype)
        return elements.astype(dtype.newbyteorder("="))


def _write(out: bytearray, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RadioError(f"PMT: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, (bool, np.bool_)):
        out.append(NIL if value is None else TRUE if value else FALSE)
    elif isinstance(value, (int, np.integer)):
        _write_integer(out, int(value))
    elif isinstance(value, (float, np.floating)):
        out += bytes([DOUBLE]) + _NUMBERS[DOUBLE].pack(value)
    elif isinstance(value, (complex, np.complexfloating)):
        out += bytes([COMPLEX]) + _PARTS.pack(value.real, value.imag)
    elif isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise RadioError(f"PMT: a string that has no UTF-8: {value[:20]!r}") from None
        if len(text) > 0xFFFF:
            raise RadioError(f"PMT: a symbol holds 65535 bytes, this string has {len(text)}")
        out += bytes([SYMBOL]) + _LENGTH.pack(len(text)) + text
    elif isinstance(value, Pair):
        out.append(PAIR)
        _write(out, value.first, depth + 1)
        _write(out, value.rest, depth + 1)
    elif isinstance(value, dict):
        for key in reversed(value):
            out.append(DICT)
            _write(out, Pair(key, value[key]), depth + 1)
        out.append(NIL)
    elif isinstance(value, (list, tuple)):
        out += bytes([VECTOR if isinstance(value, list) else TUPLE]) + _COUNT.pack(len(value))
        for item in value:
            _write(out, item, depth + 1)
    elif isinstance(value, np.ndarray):
        _write_uniform(out, value)
    else:
        raise RadioError(f"PMT: there is none for {type(value).__name__}; see semstream.radio.pmt for those there are")


def _write_integer(out: bytearray, value: int) -> None:
    for kind, low, high in ((INT32, -(2**31), 2**31), (INT64, -(2**63), 2**63), (UINT64, 0, 2**64)):
        if low <= value < high:
            out += bytes([kind]) + _NUMBERS[kind].pack(value)
            return
    raise RadioError(f"PMT: integers have 64 bits, {value} does not fit")


def _write_uniform(out: bytearray, value: np.ndarray) -> None:
    subtype = _SUBTYPE.get(value.dtype)
    if value.ndim != 1 or subtype is None:
        raise RadioError(f"PMT: expected a vector of numbers, got {value.dtype} of shape {value.shape}")
    out += bytes([UNIFORM, subtype]) + _COUNT.pack(value.size) + b"\x01\x00"
    out += value.astype(_UNIFORM[subtype]).tobytes()
