"""What both ends on the air share: settings of frames and pulses, which must be the same at both."""

from __future__ import annotations

from semstream.phy.air_frame import AirFormat
from semstream.phy.pulse import Pulse
from semstream.runtime import Block, setting


class AirSettings(Block.Settings):
    """How frames lie in the samples. Both ends must have the same."""

    samples_per_symbol: int = setting(2, ge=2, le=64, description="samples a symbol")
    rolloff: float = setting(0.25, gt=0, le=1, description="bandwidth beyond the symbol rate, as a share of it")
    span: int = setting(8, ge=2, le=64, unit="symbols", description="at which a pulse is cut off on either side")
    preamble: int = setting(128, ge=64, le=4096, unit="symbols", description="known symbols before a frame")
    gap: int = setting(32, ge=4, le=65536, unit="symbols", description="silence behind a frame, twice the span or more")

    @property
    def form(self) -> AirFormat:
        """The format.

        Raises
        ------
        ValueError
            If there is no such one.
        """
        return AirFormat(Pulse(self.samples_per_symbol, self.rolloff, self.span), self.preamble, self.gap)
