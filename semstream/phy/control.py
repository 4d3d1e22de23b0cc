"""What a receiver must read before all else: a short block of bits, better protected than the payload, and checked.

    size indicator (21 symbols) | CRC-16 block, LDPC at a low rate (QPSK)

The block has one of eight sizes. Which, is said by three bits as a word of the (7, 3) simplex code, six times over (LTE
tells the size of its control region likewise, 3GPP TS 36.212, Section 5.3.4). Longer blocks, whose size the first one
tells, go without the indicator. The CRC is TS 38.212's gCRC16, inverted, so that silence is no block of zeros.
"""

from __future__ import annotations

from binascii import crc_hqx

import numpy as np
from numpy.typing import NDArray

from semstream.phy.errors import PhyError
from semstream.phy.ldpc import ldpc_code
from semstream.phy.ldpc_decoder import decode
from semstream.phy.protection import plan
from semstream.phy.qam import qam_llr, qam_modulate

SIZES = (112, 136, 152, 168, 232, 256, 384, 768)
"""Sizes of a block in bits, with its CRC."""
CRC_BITS = 16
INDICATOR_SYMBOLS = 21
LEAST_RATE, MOST_RATE = 0.2, 0.75
_REPEATS = 6
_ITERATIONS = 25

Bits = NDArray[np.uint8]
Symbols = NDArray[np.complex64]


class ControlError(PhyError):
    """A block that could not be read: its CRC is wrong, or there are too few symbols."""


def _indicators() -> Bits:
    """(8, 42) word of each size."""
    words = [[(index & mask).bit_count() % 2 for mask in range(1, 8)] for index in range(len(SIZES))]
    return np.tile(np.array(words, np.uint8), _REPEATS)


def with_crc(bits: Bits) -> Bits:
    """Bits with their CRC-16 behind them."""
    whole = np.pad(bits, (-bits.size % 8, 0))  # zeros in front leave this CRC as it is
    check = crc_hqx(np.packbits(whole).tobytes(), 0) ^ 0xFFFF
    return np.concatenate((bits, (check >> np.arange(CRC_BITS)[::-1] & 1).astype(np.uint8)))


def checked(bits: Bits) -> Bits:
    """Bits without their CRC.

    Raises
    ------
    ControlError
        If it is wrong.
    """
    content = bits[:-CRC_BITS]
    if bits.size <= CRC_BITS or not np.array_equal(with_crc(content), bits):
        raise ControlError("control block: its checksum is wrong")
    return content


def control_bits(count: int) -> int:
    """Size of the control block that holds so many bits, its CRC and padding counted.

    Raises
    ------
    PhyError
        If none does.
    """
    size = next((s for s in SIZES if s >= count + CRC_BITS), None)
    if size is None:
        raise PhyError(f"control block: expected at most {SIZES[-1] - CRC_BITS} bits, got {count}")
    return size


def control_symbols(bits: Bits, rate: float) -> Symbols:
    """Symbols of a control block.

    Parameters
    ----------
    bits : ndarray (n,), uint8, at most the largest of `SIZES` less the CRC; a reader sees zeros behind them.
    rate : code rate, 0.2 to 0.75.

    Raises
    ------
    PhyError
        If the bits are too many, or there is no such rate.
    """
    size = control_bits(bits.size)
    padded = np.zeros(size - CRC_BITS, np.uint8)
    padded[: bits.size] = bits
    code = ldpc_code(size, _code_bits(size, rate))
    indicator = qam_modulate(_indicators()[SIZES.index(size)], 4)
    return np.concatenate((indicator, qam_modulate(code.encode(with_crc(padded)[None])[0], 4)))


def read_control(symbols: Symbols, noise_variance: NDArray[np.float32], rate: float) -> tuple[Bits, int]:
    """Bits of the control block at the start of equalised symbols, and how many symbols it took.

    Raises
    ------
    ControlError
        If the block cannot be read.
    """
    if symbols.size < INDICATOR_SYMBOLS:
        raise ControlError(f"control block: expected at least {INDICATOR_SYMBOLS} symbols, got {symbols.size}")
    llr = qam_llr(symbols[:INDICATOR_SYMBOLS], noise_variance[:INDICATOR_SYMBOLS], 4)
    size = SIZES[int(np.argmax((1 - 2.0 * _indicators()) @ llr))]
    count = _code_bits(size, rate)
    end = INDICATOR_SYMBOLS + count // 2
    if symbols.size < end:
        raise ControlError(f"control block: its indicator asks for {end} symbols, there are {symbols.size}")
    llr = qam_llr(symbols[INDICATOR_SYMBOLS:end], noise_variance[INDICATOR_SYMBOLS:end], 4)
    decoded = decode(ldpc_code(size, count), llr[None], _ITERATIONS, "sum-product")
    return checked(decoded.bits[0]), end


def _code_bits(size: int, rate: float) -> int:
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise PhyError(f"header rate: expected {LEAST_RATE:g} to {MOST_RATE:g}, got {rate:g}")
    return 2 * int(size / rate / 2)


def block_symbols(bits: Bits, rate: float) -> Symbols:
    """Symbols of a block whose size the reader knows, for `read_block`."""
    whole = with_crc(bits)
    (layer,) = plan(whole.size, _code_bits(whole.size, rate) // 2, 4)
    words = np.zeros((layer.words, layer.k), np.uint8)
    words.reshape(-1)[: whole.size] = whole
    sent = ldpc_code(layer.k, layer.n).encode(words).reshape(-1)
    return qam_modulate(np.pad(sent, (0, sent.size % 2)), 4)


def read_block(symbols: Symbols, noise_variance: NDArray[np.float32], count: int, rate: float) -> tuple[Bits, int]:
    """The `count` bits at the start of equalised symbols, and how many symbols they took.

    Raises
    ------
    ControlError
        If the block cannot be read.
    """
    (layer,) = plan(count + CRC_BITS, _code_bits(count + CRC_BITS, rate) // 2, 4)
    if symbols.size < layer.symbols:
        raise ControlError(f"control block: expected {layer.symbols} symbols, got {symbols.size}")
    llr = qam_llr(symbols[: layer.symbols], noise_variance[: layer.symbols], 4)[: layer.code_bits]
    decoded = decode(ldpc_code(layer.k, layer.n), llr.reshape(layer.words, layer.n), _ITERATIONS, "sum-product")
    return checked(decoded.bits.reshape(-1)[: count + CRC_BITS]), layer.symbols
