"""The header of a frame sent over QAM: all that the receiver must be told, as bits.

    seq 16 | height, width | scale 16 | gain 1 (+ 16) | scheme 3 | quantizer 1 | label 1 | order 2 | coded 1 |
    protection 2 (+ spread 5, layers 3) | symbols 20 | class map 1 (+ classes 8) | widths

Whole numbers of unknown size take their length, then their bits. Widths come in the order of their channels' weight at
both ends, where they mostly fall slowly, as steps in signed Exp-Golomb codes: some 60 bits for 32 channels, not 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from semstream.codec.profile import QUANTIZERS
from semstream.codec.side_information import MAX_SIDE, SCHEMES, SideInformationError
from semstream.phy.protection import PROTECTIONS
from semstream.phy.qam import ORDERS
from semstream.quantize.bitwise import LABELS

SEQ_BITS = 16
SYMBOLS_BITS = 20
MAX_WIDTH = 12
SPREAD_STEP_DB = 0.25
MAX_SAMPLES = 2**26
"""Of a picture: more than a port carries are not believed, before memory is taken for them."""

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What the header of one frame says.

    Attributes
    ----------
    seq
        Number of the frame modulo 2¹⁶.
    size
        (H, W) of the picture.
    scale, gain
        The encoder's scale and the amplitude of a symbol of unit power, both float16.
    scheme, quantizer, label
        How features became bits.
    order, coded, protection, spread_db, layers, symbols
        How bits became symbols (`semstream.phy.protection.plan`), and how many those are.
    class_map
        Whether a map of classes follows the header.
    widths
        Bits of each channel, or of each class.
    """

    seq: int
    size: tuple[int, int]
    scale: float
    gain: float
    scheme: str
    quantizer: str
    label: str
    order: int
    coded: bool
    protection: str
    spread_db: float
    layers: int
    symbols: int
    class_map: bool
    widths: tuple[int, ...]

    def to_bits(self, channel_order: Sequence[int]) -> Bits:
        """The header's bits; `channel_order` is the order in which the widths of channels are told."""
        out = _Writer()
        out.put(self.seq % 2**SEQ_BITS, SEQ_BITS)
        out.number(self.size[0])
        out.number(self.size[1])
        out.half(self.scale)
        out.put(int(self.gain != 1.0), 1)
        if self.gain != 1.0:
            out.half(self.gain)
        out.put(SCHEMES.index(self.scheme), 3)
        out.put(QUANTIZERS.index(self.quantizer), 1)
        out.put(LABELS.index(self.label), 1)
        out.put(ORDERS.index(self.order), 2)
        out.put(int(self.coded), 1)
        out.put(PROTECTIONS.index(self.protection), 2)
        if self.protection != "equal":
            out.put(round(self.spread_db / SPREAD_STEP_DB), 5)
            out.put(self.layers - 1, 3)
        out.put(self.symbols, SYMBOLS_BITS)
        out.put(int(self.class_map), 1)
        widths = list(self.widths)
        if self.class_map:
            out.put(len(widths) - 1, 8)
        else:
            widths = [widths[i] for i in channel_order]
        before = widths[0]
        out.put(before, 4)
        for width in widths[1:]:
            out.step(width - before)
            before = width
        return np.array(out.bits, np.uint8)

    @classmethod
    def from_bits(cls, bits: Bits, channel_order: Sequence[int]) -> Self:
        """Read what `to_bits` wrote; zeros may follow.

        Raises
        ------
        SideInformationError
            If it is cut short, or says what cannot be.
        """
        read = _Reader(bits)
        seq = read.take(SEQ_BITS)
        size = read.number(), read.number()
        if max(size) > MAX_SIDE or 3 * size[0] * size[1] > MAX_SAMPLES:
            raise SideInformationError(
                f"header: expected sides of at most {MAX_SIDE} pixels, {MAX_SAMPLES} samples in all, got {size}"
            )
        scale = read.half()
        gain = read.half() if read.take(1) else 1.0
        scheme = _one_of(SCHEMES, read.take(3), "scheme")
        quantizer, label = QUANTIZERS[read.take(1)], LABELS[read.take(1)]
        order, coded = ORDERS[read.take(2)], bool(read.take(1))
        protection = _one_of(PROTECTIONS, read.take(2), "protection")
        spread_db, layers = 0.0, 1
        if protection != "equal":
            spread_db, layers = read.take(5) * SPREAD_STEP_DB, read.take(3) + 1
        symbols = read.take(SYMBOLS_BITS)
        class_map = bool(read.take(1))
        count = read.take(8) + 1 if class_map else len(channel_order)
        told = [read.take(4)]
        while len(told) < count:
            told.append(told[-1] + read.step())
        if not all(0 <= width <= MAX_WIDTH for width in told):
            raise SideInformationError(f"header: expected widths of 0 to {MAX_WIDTH} bits, got {told}")
        if not (0 < scale < 1e4 and 0 < gain < 1e4):
            raise SideInformationError(f"header: expected a positive scale and gain, got {scale}, {gain}")
        widths = told
        if not class_map:
            widths = [0] * count
            for place, width in zip(channel_order, told, strict=True):
                widths[place] = width
        return cls(
            seq, size, scale, gain, scheme, quantizer, label, order, coded, protection, spread_db, layers, symbols,
            class_map, tuple(widths),
        )  # fmt: skip


def _one_of(names: Sequence[str], index: int, what: str) -> str:
    if index >= len(names):
        raise SideInformationError(f"header: expected a {what} of {', '.join(names)}, got number {index}")
    return names[index]


class _Writer:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def put(self, value: int, width: int) -> None:
        if not 0 <= value < 2**width:
            raise SideInformationError(f"header: expected a number of {width} bits, got {value}")
        self.bits += [value >> i & 1 for i in range(width - 1, -1, -1)]

    def number(self, value: int) -> None:
        """A length of five bits, then the number without its leading one."""
        if not 0 < value < 2**31:
            raise SideInformationError(f"header: expected 1 to 2³¹ − 1, got {value}")
        width = value.bit_length() - 1
        self.put(width, 5)
        self.put(value - (1 << width), width)

    def step(self, value: int) -> None:
        """Signed Exp-Golomb: 0 takes one bit, ±1 three."""
        mapped = 2 * value if value > 0 else 1 - 2 * value
        width = mapped.bit_length()
        self.put(0, width - 1)
        self.put(mapped, width)

    def half(self, value: float) -> None:
        self.put(int(np.float16(value).view(np.uint16)), 16)


class _Reader:
    def __init__(self, bits: Bits) -> None:
        self._bits = ((np.asarray(bits, np.uint8) & 1) + ord("0")).tobytes()  # as digits, which int() reads
        self._at = 0

    def take(self, width: int) -> int:
        if self._at + width > len(self._bits):
            raise SideInformationError("header: cut short")
        self._at += width
        return int(self._bits[self._at - width : self._at], 2) if width else 0

    def number(self) -> int:
        width = self.take(5)
        return 1 << width | self.take(width)

    def step(self) -> int:
        zeros = self._bits.find(b"1", self._at, self._at + 9) - self._at
        if zeros < 0:
            short = self._at + 9 > len(self._bits)
            raise SideInformationError(f"header: {'cut short' if short else 'a step between widths is too long'}")
        self._at += zeros + 1
        mapped = 1 << zeros | self.take(zeros)
        return mapped // 2 if mapped % 2 == 0 else -(mapped // 2)

    def half(self) -> float:
        return float(np.uint16(self.take(16)).view(np.float16))
