"""Protection of a frame's bits: all alike, or more for those that matter more, within the same channel uses.

The bits come most significant first. Unequal protection cuts them into layers and spreads the SNRs that the layers need
around one SNR t, `spread_db` to either side: by ``code``, a layer's rate is what an ideal code reaches at its SNR
(`semstream.phy.information`), t being where the frame just fits; by ``power``, a layer's symbols are that much stronger
or weaker, the mean power of the frame staying 1. A layer too fast for a code is sent uncoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from semstream.phy.base_graph import LEAST_BITS, LEAST_RATE, MOST_BITS, MOST_RATE
from semstream.phy.errors import PhyError
from semstream.phy.information import code_rate
from semstream.phy.qam import bits_per_symbol

Protection = Literal["equal", "code", "power"]
PROTECTIONS: tuple[str, ...] = get_args(Protection)


@dataclass(frozen=True)
class Layer:
    """Bits of a frame that are protected alike.

    Attributes
    ----------
    bits
        Payload bits.
    symbols
        QAM symbols that carry them.
    words, k, n
        Code words that the bits are cut into, the last padded with zeros, with k information and n code bits each;
        0: uncoded.
    power
        Of the symbols; 1 unless power is what protects.
    """

    bits: int
    symbols: int
    words: int = 0
    k: int = 0
    n: int = 0
    power: float = 1.0

    @property
    def code_bits(self) -> int:
        """Bits that are sent, without the padding of the last symbol."""
        return self.words * self.n if self.words else self.bits


def plan(
    bits: int,
    symbols: int,
    order: int,
    *,
    coded: bool = True,
    protection: str = "equal",
    spread_db: float = 1.0,
    layers: int = 2,
) -> tuple[Layer, ...]:
    """Layers of a frame, most significant bits first.

    Parameters
    ----------
    bits, symbols
        Payload bits, and the symbols that there are for them; uncoded bits may leave some of these over.
    order
        Of the QAM.
    coded
        By LDPC, or not at all.
    protection
        ``equal``, ``code`` or ``power``.
    spread_db
        How much more than the middle the first layer is protected, and the last less.
    layers
        Of about as many bits each; ``equal`` has one.

    Raises
    ------
    PhyError
        If the bits do not fit, or a setting is none of these.
    """
    width = bits_per_symbol(order)
    if protection not in PROTECTIONS:
        raise PhyError(f"protection: expected one of {', '.join(PROTECTIONS)}, got {protection!r}")
    if protection == "code" and not coded:
        raise PhyError("protection: 'code' protects by LDPC, and the code rate is 1; take 'power', or a lower rate")
    count = 1 if protection == "equal" else layers
    sizes = [bits * (i + 1) // count - bits * i // count for i in range(count)]
    offsets = np.linspace(-spread_db, spread_db, count) if count > 1 else np.zeros(1)
    least = [-(-size // width) for size in sizes]
    if sum(least) > symbols:
        raise PhyError(
            f"{bits} bits do not fit into {symbols} symbols of {order}-QAM, which take {sum(least)} even uncoded: "
            "fewer bits a feature, a larger order, or more channel uses"
        )
    if not coded:
        shares = least
    elif protection == "code":
        shares = _shared(sizes, offsets, symbols, order)
    else:
        shares = [symbols * (i + 1) // count - symbols * i // count for i in range(count)]
    power = np.ones(count)
    if protection == "power":
        power = 10 ** (-offsets / 10)
        power *= sum(shares) / max(float(np.asarray(shares) @ power), 1e-30)
    return tuple(_layer(s, n, width, coded, float(p)) for s, n, p in zip(sizes, shares, power, strict=True))


def _layer(bits: int, symbols: int, width: int, coded: bool, power: float) -> Layer:
    """As few words of one code as hold the bits; uncoded where no code is as fast."""
    code_bits = symbols * width
    if not coded or bits == 0 or bits > MOST_RATE * code_bits:
        return Layer(bits, -(-bits // width), power=power)
    most = MOST_BITS[1] if bits >= LEAST_RATE[1] * code_bits else MOST_BITS[2]
    words = -(-bits // most)
    k = max(LEAST_BITS, -(-bits // words))
    least = LEAST_RATE[1] if k > MOST_BITS[2] else LEAST_RATE[2]
    n = min(code_bits // words, int(k / least)) // width * width  # a word fills whole symbols
    if k > MOST_RATE * n:
        return Layer(bits, -(-bits // width), power=power)
    return Layer(bits, words * n // width, words, k, n, power)


def _shared(sizes: list[int], offsets: NDArray[np.float64], symbols: int, order: int) -> list[int]:
    """Symbols of each layer, such that the SNRs that they need differ by `offsets` and all are spent."""
    width = bits_per_symbol(order)

    def wanted(snr_db: float) -> list[int]:
        found = []
        for size, offset in zip(sizes, offsets, strict=True):
            rate = max(LEAST_RATE[2], code_rate(order, snr_db + float(offset)))
            found.append(-(-size // width) if rate > MOST_RATE else int(size / (rate * width)) + 1)
        return found

    low, high = -20.0, 60.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(wanted(middle)) <= symbols else (middle, high)
    shared = wanted(high)
    shared[0] += symbols - sum(shared)
    return shared
