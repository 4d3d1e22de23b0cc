"""What the radio's blocks share: settings of the waveform and of the messages, and what comes of a received burst."""

from __future__ import annotations

from typing import Literal

import numpy as np

from semstream.phy.channel import Reception
from semstream.phy.equalizer import NOISE_CAP
from semstream.phy.waveform import PilotComb, Plain, Preamble, Waveform
from semstream.radio.bursts import Burst, Layout
from semstream.radio.samples import inspect
from semstream.runtime import Block, setting

Csi = Literal["known", "pilots", "preamble"]


class RadioSettings(Block.Settings):
    """How a frame's symbols go on the air. Both ends must have the same."""

    mode: Literal["raw", "tagged", "pdu"] = setting("tagged", description="form of the messages")
    advance: int = setting(3, ge=0, le=4096, unit="samples", description="by which GNU Radio is early against tags")
    flush: int = setting(16, ge=0, le=65536, unit="samples", description="zeros that push a burst out of GNU Radio")
    longest: int = setting(65_536, ge=16, le=2**20, unit="samples", description="longest burst")
    pilot_spacing: int = setting(16, ge=1, unit="symbols", description="symbols between two pilots")
    pilot_smoothing: int = setting(31, ge=1, description="pilots that a line is fitted through, an odd number")
    preamble: int = setting(128, ge=2, unit="symbols", description="symbols of the preamble")
    longest_echo: int = setting(8, ge=1, unit="samples", description="impulse response that the preamble resolves")

    @property
    def layout(self) -> Layout:
        """How bursts lie in the stream."""
        return Layout(self.advance, self.flush, self.longest)


def waveform(csi: Csi, settings: RadioSettings) -> Waveform:
    """The waveform by which a receiver knows the channel in this way.

    Raises
    ------
    ValueError
        If the settings of pilots or preamble make none.
    """
    if csi == "pilots":
        return PilotComb(settings.pilot_spacing, settings.pilot_smoothing)
    return Preamble(settings.preamble, settings.longest_echo) if csi == "preamble" else Plain()


class BurstReceiver:
    """Makes receptions of bursts, and keeps count.

    Attributes
    ----------
    counts : dict of str to int
        bursts, lost, missing_samples, not_finite, clipped.
    """

    def __init__(self, block: Block, waveform: Waveform) -> None:
        self._block = block
        self._waveform = waveform
        self.counts = dict.fromkeys(("bursts", "lost", "missing_samples", "not_finite", "clipped"), 0)

    def receive(self, burst: Burst, count: int, noise_variance: float) -> Reception:
        """The `count` symbols of a burst; what is missing or no number has a gain of 0."""
        found = inspect(burst.samples)
        faults = {
            "missing_samples": burst.missing,
            "not_finite": int(np.count_nonzero(~found.good)),
            "clipped": found.clipped,
        }
        self.counts["bursts"] += 1
        for name, number in faults.items():
            self.counts[name] += number
        if any(faults.values()):
            told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in faults.items() if number)
            self._block.log.warning("burst %d of %d samples: %s", burst.number, burst.samples.size, told)
        return self._waveform.receive(found.samples, found.good & burst.present, count, noise_variance)

    def lose(self, count: int) -> Reception:
        """Symbols of which nothing is known, for a burst that did not come."""
        self.counts["bursts"] += 1
        self.counts["lost"] += 1
        nothing = np.zeros(count, np.complex64)
        return Reception(nothing, nothing, np.full(count, NOISE_CAP, np.float32))
