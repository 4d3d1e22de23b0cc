"""The head of a frame on the air, before amplitudes or coded bits: header and, if any, map of classes, over QPSK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.codec.header import FrameHeader
from semstream.codec.side_information import SideInformation, SideInformationError
from semstream.phy.control import CRC_BITS, block_symbols, control_bits, read_block, read_control
from semstream.quantize.class_map import class_map_bits

Symbols = NDArray[np.complex64]
Float32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Sent:
    """Symbols of a frame: all of them, how many are header and map, and those parts' bits with their CRC."""

    symbols: Symbols
    header_symbols: int
    header_bits: int


def read_header(
    symbols: Symbols, variance: Float32, rate: float, channel_order: Sequence[int]
) -> tuple[FrameHeader, int, int]:
    """The header at the beginning of equalized symbols.

    Returns
    -------
    header, int, int
        What it says; symbols that it takes; its bits with their CRC.

    Raises
    ------
    PhyError, SideInformationError
        If it cannot be read, or is not of these weights.
    """
    content, taken = read_control(symbols, variance, rate)
    return FrameHeader.from_bits(content, channel_order), taken, content.size + CRC_BITS


def map_symbols(side: SideInformation, class_map: Bytes | None, rate: float) -> Symbols:
    """Symbols of the map of classes; none where there is no map."""
    if class_map is None or not side.class_map:
        return np.zeros(0, np.complex64)
    return block_symbols(np.unpackbits(class_map, bitorder="little")[: _map_bits(side)], rate)


def read_map(
    symbols: Symbols, variance: Float32, at: int, side: SideInformation, rate: float
) -> tuple[Bytes | None, int]:
    """The map of classes that begins at a symbol, if there is one, and where what follows begins.

    Raises
    ------
    PhyError
        If it cannot be read.
    """
    if not side.class_map:
        return None, at
    whole, taken = read_block(symbols[at:], variance[at:], _map_bits(side), rate)
    return np.packbits(whole, bitorder="little"), at + taken


def sent_bits(header: Bytes, side: SideInformation) -> int:
    """Bits of a head that is sent, with its CRCs."""
    return control_bits(header.size) + checked_map_bits(side)


def checked_map_bits(side: SideInformation) -> int:
    """Bits of the map of classes with its CRC."""
    return _map_bits(side) + CRC_BITS if side.class_map else 0


def check_follow(symbols: Symbols, at: int, count: int) -> None:
    """Refuse a header that tells of more symbols than came.

    Raises
    ------
    SideInformationError
        If so.
    """
    if symbols.size < at + count:
        raise SideInformationError(f"header: says {count} symbols follow it, there are {symbols.size - at}")


def _map_bits(side: SideInformation) -> int:
    return class_map_bits(side.feature_count, len(side.bits)) if side.class_map else 0
