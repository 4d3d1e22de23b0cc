"""How bits become QAM symbols, as a transmitter is told it, and formats designed for an SNR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from semstream.phy.base_graph import LEAST_RATE, MOST_RATE, check_available
from semstream.phy.errors import PhyError
from semstream.phy.information import best_order, code_rate
from semstream.phy.qam import ORDERS, bits_per_symbol


@dataclass(frozen=True)
class QamFormat:
    """How bits become symbols.

    Attributes
    ----------
    order
        4, 16, 64 or 256.
    code_rate
        Payload bits a code bit of LDPC, 0.2 to 0.95; 1 is uncoded.
    channel_uses
        Symbols of a whole frame, header and all, that the code fills, whatever `code_rate` says; 0: by the code rate.
    protection, spread_db, layers
        As for `semstream.phy.protection.plan`; the spread in steps of 0.25 dB up to 7.75.
    label
        ``gray`` or ``natural``: the word of a code.
    header_rate
        Code rate of the header, 0.2 to 0.75 (QPSK).
    power
        Mean power of a symbol, linear.
    """

    order: int = 16
    code_rate: float = 0.5
    channel_uses: int = 0
    protection: str = "equal"
    spread_db: float = 1.0
    layers: int = 2
    label: str = "gray"
    header_rate: float = 1 / 3
    power: float = 1.0

    def check(self) -> None:
        """Whether there is such a format.

        Raises
        ------
        PhyError
            Naming what there is none of.
        """
        bits_per_symbol(self.order)
        if not (LEAST_RATE[2] <= self.code_rate <= MOST_RATE or self.code_rate == 1):
            raise PhyError(
                f"code rate: expected {LEAST_RATE[2]:g} to {MOST_RATE:g}, or 1 for uncoded, got {self.code_rate:g}"
            )
        check_available()
        if self.protection == "code" and self.code_rate == 1:
            raise PhyError("protection 'code' protects by LDPC: take a code rate below 1, or protection 'power'")


KINDS = ("uncoded", "power", "unequal", "ldpc")
MARGIN_DB = 0.75
"""SNR above that of an ideal code which words of some 1,000 bits need to decode 99 times in 100."""
_UNCODED_RATE = 0.85


def designed(kind: str, snr_db: float, channel_uses: int, *, spread_db: float = 0.5, **format: Any) -> QamFormat:
    """The format that fills so many channel uses at an SNR, without trial.

    Parameters
    ----------
    kind
        ``uncoded``: the largest constellation whose bits carry most of what they are (0.85 bit). ``power``: the same,
        with 2 dB more for the more significant half and 2 dB less for the other. ``ldpc``: the order and rate of an
        ideal code, less `MARGIN_DB`. ``unequal``: the same with a stronger code for what is more significant, so that
        all layers just decode; `spread_db` says by how much they differ, and what is left below that SNR.
    snr_db
        Es/N0 to design for; ``inf`` is 44 dB.
    channel_uses
        Of a frame, header counted.
    spread_db
        Of ``unequal``; two layers up to 1 dB, three above.
    **format
        Other fields of `QamFormat`.

    Raises
    ------
    PhyError
        For another kind.
    """
    if kind not in KINDS:
        raise PhyError(f"modulation: expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind in ("uncoded", "power"):
        fitting = [order for order in ORDERS if code_rate(order, snr_db) >= _UNCODED_RATE]
        order = max(fitting, default=ORDERS[0])
        if kind == "uncoded":
            return QamFormat(order, 1.0, channel_uses, **format)
        return QamFormat(order, 1.0, channel_uses, "power", 2.0, 2, **format)
    spread_db = 0.0 if kind == "ldpc" else spread_db
    order, rate = best_order(snr_db - MARGIN_DB - 0.6 * spread_db)
    rate = max(rate, LEAST_RATE[2])
    if kind == "ldpc":
        return QamFormat(order, rate, channel_uses, **format)
    return QamFormat(order, rate, channel_uses, "code", spread_db, 2 if spread_db <= 1 else 3, **format)
