"""Amplitudes with their side information on the air: a header before them, as QAM frames have one.

    header (control block, QPSK) | map of classes, if any (QPSK) | amplitudes, two a symbol (`pam`)

The header is that of a QAM frame (`semstream.codec.header`); what it says of bits has no meaning here. Features that
are not quantized have no widths: all are 0 then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.coder import FeatureCoder
from semstream.codec.frame_head import (
    Sent,
    check_follow,
    checked_map_bits,
    map_symbols,
    read_header,
    read_map,
    sent_bits,
)
from semstream.codec.header import FrameHeader
from semstream.codec.qam_link import QamLink
from semstream.codec.side_information import SideInformation, SideInformationError
from semstream.phy.channel import Reception
from semstream.phy.control import control_symbols
from semstream.phy.equalizer import mmse

Symbols = NDArray[np.complex64]
Bytes = NDArray[np.uint8]


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

    def put(self, symbols: Symbols, side: SideInformation, gain: float, seq: int, class_map: Bytes | None) -> Sent:
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
        head = np.concatenate([control_symbols(content, self._rate), map_symbols(side, class_map, self._rate)])
        return Sent(np.concatenate([head, symbols]), head.size, sent_bits(content, side))

    def read(self, reception: Reception) -> Read:
        """The frame behind the header of a reception.

        Raises
        ------
        PhyError, SideInformationError
            If the header cannot be read, or is not of these weights.
        """
        equalized = mmse(reception.received, reception.csi, reception.noise_variance)
        symbols, variance = equalized.unbiased, equalized.noise_variance
        header, at, header_bits = read_header(symbols, variance, self._rate, self._link.channel_order)
        shape = self._link.feature_shape(header.size)
        widths: tuple[int, ...] = header.widths if header.scheme != "none" else ()
        side = SideInformation(
            shape, header.size, header.scale, header.scheme, header.quantizer, widths, header.class_map, 0, 0
        )
        class_map, at = read_map(symbols, variance, at, side, self._rate)
        check_follow(symbols, at, header.symbols)
        self._fits(header.symbols, side, class_map)
        part = slice(at, at + header.symbols)
        own = Reception(reception.received[part], reception.csi[part], reception.noise_variance[part])
        bits = header_bits + checked_map_bits(side)
        side = replace(side, payload_bits=self._payload_bits(side, class_map), side_bits=bits)
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
