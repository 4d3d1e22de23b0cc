"""A frame on the air: what a receiver that has nothing but samples needs to find and read it.

    preamble | header: QPSK, LDPC at rate 1/4, CRC-16 | body: symbols with a comb of pilots | silence

The preamble tells when the frame starts and by how much it turns. The header, better protected than anything behind
it, tells how the body is read::

    version 4 | modulation 4 | seq 16 | symbols 20 | pilot spacing 2 | reserved 2

What is in the symbols (their own header first) is not this layer's concern. Every symbol of it all, the silence too, is
a channel use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from semstream.phy.control import CRC_BITS, ControlError, checked, with_crc
from semstream.phy.errors import PhyError
from semstream.phy.ldpc import ldpc_code
from semstream.phy.ldpc_decoder import decode
from semstream.phy.pulse import Pulse
from semstream.phy.qam import qam_llr, qam_modulate
from semstream.phy.waveform import PilotComb, known_symbols

VERSION = 1
MODULATIONS = ("qam", "pam")
PILOT_SPACINGS = (16, 32, 64, 128)
HEADER_BITS = 48
HEADER_SYMBOLS = 128
MOST_SYMBOLS = 2**20 - 1
_CODE_BITS = 2 * HEADER_SYMBOLS
_ITERATIONS = 25

Bits = NDArray[np.uint8]
Symbols = NDArray[np.complex64]


class UnknownFrameError(PhyError):
    """A header that was read without error, and says what this receiver does not know.

    Attributes
    ----------
    what : str
        ``version`` or ``modulation``.
    """

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


@dataclass(frozen=True, slots=True)
class AirHeader:
    """What the header of a frame on the air says.

    Attributes
    ----------
    modulation
        Of `MODULATIONS`: how the symbols are read.
    seq
        Number of the frame modulo 2¹⁶.
    symbols
        Symbols of the body, pilots not counted.
    pilot_spacing
        Of `PILOT_SPACINGS`: symbols between two pilots.
    """

    modulation: str
    seq: int
    symbols: int
    pilot_spacing: int

    def to_symbols(self) -> Symbols:
        """The header's symbols (`HEADER_SYMBOLS`,).

        Raises
        ------
        PhyError
            If the frame is too long.
        """
        if not 0 < self.symbols <= MOST_SYMBOLS:
            raise PhyError(f"frame on the air: expected 1 to {MOST_SYMBOLS} symbols, got {self.symbols}")
        fields = (
            (VERSION, 4), (MODULATIONS.index(self.modulation), 4), (self.seq % 2**16, 16), (self.symbols, 20),
            (PILOT_SPACINGS.index(self.pilot_spacing), 2), (0, 2),
        )  # fmt: skip
        bits = [value >> place & 1 for value, width in fields for place in range(width - 1, -1, -1)]
        return header_symbols(np.array(bits, np.uint8))

    @classmethod
    def from_symbols(cls, symbols: NDArray[np.complexfloating], noise_variance: float) -> Self:
        """Read it from symbols of unit power and the noise on them.

        Raises
        ------
        ControlError
            If its checksum is wrong.
        UnknownFrameError
            If it is of another version, or of a modulation that there is none of.
        """
        variance = np.full(HEADER_SYMBOLS, max(noise_variance, 1e-6), np.float32)
        llr = qam_llr(symbols, variance, 4) * (1 - 2.0 * _whitening()).astype(np.float32)
        code = ldpc_code(HEADER_BITS + CRC_BITS, _CODE_BITS)
        bits = checked(decode(code, llr[None], _ITERATIONS, "sum-product").bits[0])
        at = 0

        def take(width: int) -> int:
            nonlocal at
            at += width
            return int("".join(map(str, bits[at - width : at].tolist())), 2)

        version, modulation, seq, count, spacing = take(4), take(4), take(16), take(20), take(2)
        if version != VERSION:
            raise UnknownFrameError(
                "version",
                f"a frame of version {version}; this receiver reads version {VERSION}: run the same semstream",
            )
        if modulation >= len(MODULATIONS):
            raise UnknownFrameError(
                "modulation", f"a frame of modulation number {modulation}, of which this receiver knows none"
            )
        if not count:
            raise ControlError("frame on the air: a header that says nothing follows")
        return cls(MODULATIONS[modulation], seq, count, PILOT_SPACINGS[spacing])


def header_symbols(bits: Bits) -> Symbols:
    """Symbols of a header of these bits (`HEADER_BITS`,): checked, coded, whitened."""
    word = ldpc_code(HEADER_BITS + CRC_BITS, _CODE_BITS).encode(with_crc(bits)[None])[0]
    return qam_modulate(word ^ _whitening(), 4)


@lru_cache(maxsize=1)
def _whitening() -> Bits:
    """Without it a header of few ones would be the same symbol over and over, and no noise."""
    bits = np.random.Generator(np.random.PCG64(48)).integers(0, 2, _CODE_BITS, np.uint8)
    bits.flags.writeable = False
    return bits


@dataclass(frozen=True)
class AirFormat:
    """What both ends of a transmission agree on beforehand.

    Attributes
    ----------
    pulse
        By which symbols become samples.
    preamble
        Symbols of the preamble, 64 or more.
    gap
        Silent symbols behind a frame, into which its last pulse rings: at least twice the pulse's span.
    """

    pulse: Pulse = field(default_factory=Pulse)
    preamble: int = 128
    gap: int = 32

    def __post_init__(self) -> None:
        if not 64 <= self.preamble <= 4096 or self.preamble % 16:
            raise PhyError(f"preamble: expected 64 to 4096 symbols, a multiple of 16, got {self.preamble}")
        if self.gap < 2 * self.pulse.span:
            raise PhyError(
                f"gap: expected at least {2 * self.pulse.span} silent symbols, twice the pulse's span, got {self.gap}"
            )

    @property
    def opening(self) -> int:
        """Symbols of preamble and header."""
        return self.preamble + HEADER_SYMBOLS

    def body(self, header: AirHeader) -> int:
        """Symbols of the body, pilots counted."""
        return header.symbols + PilotComb(header.pilot_spacing).overhead(header.symbols)

    def channel_uses(self, header: AirHeader) -> int:
        """All symbols of a frame, its silence too."""
        return self.opening + self.body(header) + self.gap

    def samples(self, symbols: Symbols, header: AirHeader) -> Symbols:
        """Samples (channel_uses·samples_per_symbol,) of a frame.

        Raises
        ------
        PhyError
            If the frame is too long.
        """
        comb = PilotComb(header.pilot_spacing)
        whole = np.concatenate([known_symbols(self.preamble), header.to_symbols(), comb.modulate(symbols)])
        sent = np.zeros(self.channel_uses(header) * self.pulse.samples_per_symbol, np.complex64)
        shaped = self.pulse.shaped(whole)
        sent[: shaped.size] = shaped
        return sent
