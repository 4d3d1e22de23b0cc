"""Amplitudes with their side information on the air: a header before them, as QAM frames have one.

    header (control block, QPSK) | map of classes, if any (QPSK) | amplitudes, two a symbol (`pam`)

The header is that of a QAM frame (`semstream.codec.header`); what it says of bits has no meaning here. Features that
are not quantized have no widths: all are 0 then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.coder import FeatureCoder
from semstream.codec.header import FrameHeader
from semstream.codec.qam_link import QamLink
from semstream.codec.side_information import SideInformation, SideInformationError
from semstream.phy.channel import Reception
from semstream.phy.control import CRC_BITS, block_symbols, control_bits, control_symbols, read_block, read_control
from semstream.phy.equalizer import mmse
from semstream.quantize.class_map import class_map_bits

Symbols = NDArray[np.complex64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Headed:
    """A frame with its header: all symbols, those of header and map, and the bits of both with their checksums."""

    symbols: Symbols
    header_symbols: int
    header_bits: int


@dataclass(frozen=True)
class Read:
    """A frame whose header was read: the amplitudes as they were received, and what their receiver is told."""

    reception: Reception
    side: SideInformation
    gain: float
    seq: int
    class_map: Bytes | None


class AmplitudeHeader:
    """Puts headers before amplitudes, and reads them, for one set of weights.

    Parameters
    ----------
    link
        Of the weights (`semstream.codec.qam_design.link_of`).
    rate
        Code rate of the header, 0.2 to 0.75; the same at both ends.
    """

    def __init__(self, link: QamLink, rate: float = 1 / 3) -> None:
        self._link = link
        self._rate = rate
        self._coder: FeatureCoder = link.coder
        self._channels = link.coder.profile.channels

    def put(self, symbols: Symbols, side: SideInformation, gain: float, seq: int, class_map: Bytes | None) -> Headed:
        """A header before the amplitudes (N,) of a frame.

        Raises
        ------
        SideInformationError
            If symbols, map and side information are not of one frame.
        PhyError
            If the header is too long.
        """
        if self._link.feature_shape(side.size) != side.shape:
            raise SideInformationError(f"side information 'shape': {side.shape} is not that of a picture {side.size}")
        self._fits(symbols.size, side, class_map)
        widths = side.bits if side.scheme != "none" else (0,) * self._channels
        header = FrameHeader(
            seq % 2**16, side.size, side.scale, gain, side.scheme, side.quantizer, "gray", 4, False, "equal", 0.0, 1,
            symbols.size, side.class_map, widths,
        )  # fmt: skip
        content = header.to_bits(self._link.channel_order)
        parts, bits = [control_symbols(content, self._rate)], control_bits(content.size)
        if side.class_map and class_map is not None:
            count = class_map_bits(side.feature_count, len(side.bits))
            parts.append(block_symbols(np.unpackbits(class_map, bitorder="little")[:count], self._rate))
            bits += count + CRC_BITS
        taken = sum(part.size for part in parts)
        return Headed(np.concatenate([*parts, symbols]), taken, bits)

    def read(self, reception: Reception) -> Read:
        """The frame behind the header of a reception.

        Raises
        ------
        PhyError, SideInformationError
            If the header cannot be read, or is not of these weights.
        """
        equalized = mmse(reception.received, reception.csi, reception.noise_variance)
        symbols, variance = equalized.unbiased, equalized.noise_variance
        content, at = read_control(symbols, variance, self._rate)
        header = FrameHeader.from_bits(content, self._link.channel_order)
        shape = self._link.feature_shape(header.size)
        widths: tuple[int, ...] = header.widths if header.scheme != "none" else ()
        side = SideInformation(
            shape, header.size, header.scale, header.scheme, header.quantizer, widths, header.class_map, 0, 0
        )
        class_map, bits = None, content.size + CRC_BITS
        if side.class_map:
            count = class_map_bits(side.feature_count, len(side.bits))
            whole, taken = read_block(symbols[at:], variance[at:], count, self._rate)
            at, bits = at + taken, bits + count + CRC_BITS
            class_map = np.packbits(whole, bitorder="little")
        if symbols.size < at + header.symbols:
            raise SideInformationError(
                f"header: says {header.symbols} symbols follow it, there are {symbols.size - at}"
            )
        self._fits(header.symbols, side, class_map)
        part = slice(at, at + header.symbols)
        own = Reception(reception.received[part], reception.csi[part], reception.noise_variance[part])
        payload = self._payload_bits(side, class_map)
        side = SideInformation(
            shape, side.size, side.scale, side.scheme, side.quantizer, side.bits, side.class_map, payload, bits
        )
        return Read(own, side, header.gain, header.seq, class_map)

    def _fits(self, symbols: int, side: SideInformation, class_map: Bytes | None) -> None:
        expected = (self._coder.sent_count(side, class_map) + 1) // 2
        if symbols != expected:
            raise SideInformationError(f"{symbols} symbols, the side information says {expected}")

    def _payload_bits(self, side: SideInformation, class_map: Bytes | None) -> int:
        if side.scheme == "none":
            return 32 * side.feature_count
        bits: Any = self._coder.element_bits(side, class_map)
        return int(np.sum(bits, dtype=np.int64)) * (side.shape[0] * side.shape[1] if bits.ndim == 1 else 1)
