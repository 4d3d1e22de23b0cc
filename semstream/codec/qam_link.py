"""Coded frames over Gray QAM: everything that the receiver needs goes over the air.

    header (control block, QPSK) | map of classes, if any (QPSK) | payload: ranked bits ─ layers ─ LDPC ─ QAM

Bits are ranked by what they matter (`semstream.codec.bit_layout`), cut into layers and protected
(`semstream.phy.protection`). The receiver knows the profile and the header's code rate, and nothing else. Bits of words
that did not decode are no lost bits: what is known of them goes into the posterior mean of their features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.codec.bit_layout import BitCoder
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
from semstream.codec.header import SPREAD_STEP_DB, FrameHeader
from semstream.codec.qam_format import QamFormat
from semstream.codec.qam_payload import Opened, decode_words, demap, modulate
from semstream.codec.side_information import SideInformation, SideInformationError
from semstream.phy.control import control_symbols
from semstream.phy.equalizer import mmse
from semstream.phy.errors import PhyError
from semstream.phy.ldpc_decoder import Rule
from semstream.phy.protection import Layer, plan
from semstream.phy.qam import bits_per_symbol
from semstream.quantize.packing import PackingError, unpack

Symbols = NDArray[np.complex64]
Float32 = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Received:
    """A frame as it was received.

    Attributes
    ----------
    header
        What its header said.
    side
        The same as side information.
    features, noise_variance
        (h, w, C) float32.
    words, failed
        Code words of the payload, and how many did not decode.
    """

    header: FrameHeader
    side: SideInformation
    features: Float32
    noise_variance: Float32
    words: int
    failed: int


class QamLink:
    """Both ends of a QAM transmission.

    Parameters
    ----------
    coder
        Coder of the weights; the same at both ends.
    stride
        Pixels a feature's side, by which the size of a picture gives the shape of its features.
    """

    def __init__(self, coder: FeatureCoder, stride: int) -> None:
        self.coder = coder
        self._stride = stride
        profile = coder.profile
        ranked = profile.sensitivity_alone.astype(np.float64) * profile.variance
        self._channel_order: list[int] = np.argsort(-np.round(10 * np.log10(ranked + 1e-30), 1), kind="stable").tolist()
        self._coders: dict[tuple[str, str], BitCoder] = {}

    def transmit(
        self, payload: Bytes, side: SideInformation, seq: int, form: QamFormat, class_map: Bytes | None = None
    ) -> Sent:
        """Symbols of one coded frame.

        Raises
        ------
        PackingError, SideInformationError
            If payload, map and side information are not of one frame.
        PhyError
            If the format does not exist, or the frame does not fit into it.
        """
        form.check()
        if side.scheme == "none":
            raise PhyError("QAM carries bits, and these features are unquantized: put a quantizer before it")
        if self.feature_shape(side.size) != side.shape:
            raise SideInformationError(f"side information 'shape': {side.shape} is not that of a picture {side.size}")
        bits_coder = self._bit_coder(side.quantizer, form.label)
        layout = bits_coder.layout(self.coder.element_bits(side, class_map), side.shape[0] * side.shape[1])
        groups, widths = unpack(payload)
        present = [group for group, width in zip(groups, widths, strict=True) if width]
        if [(g.width, g.places.size) for g in layout.groups] != [
            (int(w), g.size) for w, g in zip(widths[widths > 0], present, strict=True)
        ]:
            raise PackingError("payload: its groups are not those of the side information; they are not of one frame")
        told_map = map_symbols(side, class_map, form.header_rate)
        header = self._header(side, seq, form)
        # As many symbols as the header takes in the end, when it tells of the payload too.
        taken = told_map.size + control_symbols(self._bits_of(header), form.header_rate).size
        symbols = self._payload_symbols(layout.bits, form, taken)
        layers = self._plan(layout.bits, symbols, header)
        header = replace(header, symbols=symbols if header.coded else sum(layer.symbols for layer in layers))
        content = self._bits_of(header)
        control = control_symbols(content, form.header_rate)
        body = modulate(bits_coder.bits(layout, present), layers, form.order)
        amplitude = np.float32(np.float16(np.sqrt(form.power)))
        sent = (amplitude * np.concatenate([control, told_map, body])).astype(np.complex64, copy=False)
        return Sent(sent, taken, sent_bits(content, side))

    def budget(self, size: tuple[int, int], form: QamFormat, **allocation: Any) -> float:
        """Bits a feature that fill `form.channel_uses` at `form.code_rate`, header counted, for pictures of one size.

        Parameters
        ----------
        size
            (H, W) of the pictures.
        form
            With `channel_uses` given; of `code_rate` 1, what fits uncoded.
        **allocation
            As for `Profile.allocate`: ``scheme`` (default ``optimal``) and the like.

        Raises
        ------
        PhyError
            If not even the header fits, with one bit for each feature of one channel.
        """
        scheme = allocation.pop("scheme", "optimal")
        shape = self.feature_shape(size)
        count = shape[0] * shape[1] * shape[2]
        header_symbols, width = 0, bits_per_symbol(form.order)
        for _ in range(8):  # fewer bits for the payload may change the header's length, which changes the payload's
            symbols = form.channel_uses - header_symbols - (form.layers if form.protection != "equal" else 0)
            bits = min(symbols * width * form.code_rate, 12.0 * count)
            if bits < shape[0] * shape[1]:
                raise PhyError(
                    f"channel_uses: {form.channel_uses} leave {max(symbols, 0)} symbols for the payload of a picture "
                    f"of {size[0]}×{size[1]}, too few for one channel of features; give more, or a lower header rate"
                )
            widths = self.coder.profile.allocate(scheme, bits / count, feature_count=count, **allocation)
            side = SideInformation(
                shape, size, 1.0, scheme, allocation.get("quantizer", "lloyd_max"), tuple(widths.tolist()), False, 0, 0
            )
            header = self._header(side, 0, form)
            needed = control_symbols(self._bits_of(header), form.header_rate).size
            if needed <= header_symbols:
                break
            header_symbols = needed
        return bits / count

    def receive(
        self,
        receptions: Sequence[tuple[Symbols, Symbols, Float32]],
        header_rate: float = 1 / 3,
        iterations: int = 15,
        rule: Rule = "sum-product",
    ) -> list[Received | None]:
        """Frames from what was received; the code words of all are decoded together.

        Parameters
        ----------
        receptions
            ``received``, ``csi``, ``noise_variance`` of each frame (`semstream.phy.channel.Reception`).
        header_rate
            As at the transmitter.
        iterations, rule
            Of the payload's decoder.

        Returns
        -------
        A frame each; None where the header could not be read.
        """
        opened: list[Opened | None] = []
        for reception in receptions:
            try:
                opened.append(self._open(*reception, header_rate))
            except (PhyError, SideInformationError):
                opened.append(None)
        decode_words([frame for frame in opened if frame is not None], iterations, rule)
        return [None if frame is None else self._close(frame) for frame in opened]

    def _open(self, received: Symbols, csi: Symbols, noise: Float32, header_rate: float) -> Opened:
        """Read the header, and demap the payload."""
        heard = np.isfinite(received) & np.isfinite(csi) & np.isfinite(noise)
        if not heard.all():  # such a symbol tells nothing, which is what a gain of 0 says
            received, csi = np.where(heard, received, 0), np.where(heard, csi, 0)
            noise = np.where(heard, noise, np.float32(1))
        equalized = mmse(received, csi, noise)
        gain = _amplitude(received, csi, noise)
        symbols, variance = equalized.unbiased / gain, equalized.noise_variance / gain**2
        header, at, header_bits = read_header(symbols, variance, header_rate, self._channel_order)
        symbols, variance = equalized.unbiased / header.gain, equalized.noise_variance / np.float32(header.gain**2)
        shape = self.feature_shape(header.size)
        told = 0 if header.class_map else shape[0] * shape[1] * sum(header.widths)
        if told > symbols.size * bits_per_symbol(header.order):
            raise SideInformationError("header: tells of more bits than the symbols that came can hold")
        side = SideInformation(
            shape, header.size, header.scale, header.scheme, header.quantizer, header.widths, header.class_map, 0,
            header_bits,
        )  # fmt: skip
        class_map, at = read_map(symbols, variance, at, side, header_rate)
        bits_coder = self._bit_coder(header.quantizer, header.label)
        layout = bits_coder.layout(self.coder.element_bits(side, class_map), shape[0] * shape[1])
        layers = self._plan(layout.bits, header.symbols, header)
        count = sum(layer.symbols for layer in layers)
        check_follow(symbols, at, count)
        side = replace(side, payload_bits=layout.bits, side_bits=header_bits + checked_map_bits(side))
        body = slice(at, at + count)
        llr = demap(symbols[body], variance[body], layers, header.order)
        prior = bits_coder.prior(layout)
        return Opened(header, side, bits_coder, layout, layers, llr, prior)

    def _close(self, frame: Opened) -> Received:
        llr = np.concatenate(frame.payload) if frame.payload else np.zeros(0, np.float32)
        features, noise = frame.coder.features(frame.layout, llr, frame.side.shape)
        return Received(frame.header, frame.side, features, noise, sum(x.words for x in frame.layers), frame.failed)

    def _header(self, side: SideInformation, seq: int, form: QamFormat) -> FrameHeader:
        equal = form.protection == "equal"
        spread_db = 0.0 if equal else round(form.spread_db / SPREAD_STEP_DB) * SPREAD_STEP_DB
        return FrameHeader(
            seq, side.size, side.scale, float(np.float16(np.sqrt(form.power))), side.scheme, side.quantizer,
            form.label, form.order, form.code_rate < 1, form.protection, spread_db, 1 if equal else form.layers, 1,
            side.class_map, side.bits,
        )  # fmt: skip

    def _bits_of(self, header: FrameHeader) -> Bytes:
        return header.to_bits(self._channel_order)

    def _payload_symbols(self, bits: int, form: QamFormat, taken: int) -> int:
        width = bits_per_symbol(form.order)
        if form.channel_uses:
            if form.channel_uses <= taken:
                raise PhyError(f"channel_uses: the header alone takes {taken}, got {form.channel_uses}")
            return form.channel_uses - taken
        if form.code_rate >= 1:
            return -(-bits // width) + form.layers
        return max(1, -(-int(np.ceil(bits / form.code_rate)) // width))

    def _plan(self, bits: int, symbols: int, header: FrameHeader) -> tuple[Layer, ...]:
        return plan(
            bits,
            symbols,
            header.order,
            coded=header.coded,
            protection=header.protection,
            spread_db=header.spread_db,
            layers=header.layers,
        )

    def feature_shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """(h, w, C) of the features of a picture (H, W)."""
        return -(-size[0] // self._stride), -(-size[1] // self._stride), self.coder.profile.channels

    @property
    def channel_order(self) -> list[int]:
        """Channels in the order in which a header tells their widths."""
        return self._channel_order

    def _bit_coder(self, quantizer: str, label: str) -> BitCoder:
        key = quantizer, label
        if key not in self._coders:
            self._coders[key] = BitCoder(self.coder.profile, quantizer, label)
        return self._coders[key]


def _amplitude(received: Symbols, csi: Symbols, noise: Float32) -> np.float32:
    """Amplitude of the symbols, from their power: enough to read a QPSK header by."""
    gain = float(np.sum(np.abs(csi) ** 2))
    power = float(np.sum(np.abs(received) ** 2) - np.sum(noise)) / max(gain, 1e-9)
    return np.float32(np.sqrt(max(power, 0.01)))
