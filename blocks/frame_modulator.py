"""FrameModulator: a frame's symbols as samples that a receiver finds by itself."""

from __future__ import annotations

from typing import Literal

import numpy as np

from blocks._air import AirSettings
from blocks._errors import told_by
from blocks.ports import Samples, Symbols
from semstream.phy.air_frame import AirHeader
from semstream.runtime import Block, Frame, In, Out, SkipFrame, setting


class FrameModulator(Block):
    """Put preamble, header and pilots around a frame's symbols, and shape them to samples (root raised cosine).

    Input
    -----
    symbols : Symbols, complex64 (N,) of unit mean power. A frame with NaN or infinite symbols is skipped, counted as
    ``not_finite``, one without symbols as ``no_symbols``.

    Output
    ------
    samples : Samples, complex64, `samples_per_symbol` a symbol, silence behind the frame included. Es/N0 is 1/N0, N0
    the variance of the complex noise on a sample. Tag ``channel_uses``: every symbol of it, silence too.

    Records
    -------
    One at the end: frames, channel_uses, samples.

    Usage
    -----
    ``FrameModulator()`` behind `QamModulator`; ``FrameModulator(modulation="pam")`` behind `SideInformationModulator`.
    `FrameSynchronizer` reads it, with the same settings of the pulse and the preamble.
    """

    symbols = In(Symbols)
    samples = Out(Samples)

    class Settings(AirSettings):
        modulation: Literal["qam", "pam"] = setting("qam", description="what the header says that the symbols are")
        pilot_spacing: Literal[16, 32, 64, 128] = setting(32, unit="symbols", description="symbols between two pilots")

    def start(self) -> None:
        with told_by(self, "gap"):
            self._form = self.settings.form
        self._counts = dict.fromkeys(("frames", "channel_uses", "samples"), 0)

    def process(self, frame: Frame) -> Frame:
        symbols = frame["symbols"]
        if not symbols.size:
            raise SkipFrame("no_symbols")
        if not np.isfinite(symbols).all():
            self.log.warning("frame %d: symbols that are not finite; left out", frame.seq)
            raise SkipFrame("not_finite")
        s = self.settings
        header = AirHeader(s.modulation, frame.seq % 2**16, symbols.size, s.pilot_spacing)
        with told_by(self, "modulation"):
            samples = self._form.samples(symbols, header)
        uses = self._form.channel_uses(header)
        for name, count in (("frames", 1), ("channel_uses", uses), ("samples", samples.size)):
            self._counts[name] += count
        return Frame({"samples": samples}, tags={"channel_uses": uses})

    def stop(self) -> None:
        if hasattr(self, "_counts"):
            self.publish(dict(self._counts))
