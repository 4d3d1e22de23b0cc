"""How bits become QAM symbols, as a transmitter is told it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from semstream.phy.base_graph import LEAST_RATE, MOST_RATE, check_available
from semstream.phy.errors import PhyError
from semstream.phy.qam import bits_per_symbol


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

    def settings(self) -> dict[str, Any]:
        """The fields by name: settings of `blocks.QamModulator`."""
        return asdict(self)
