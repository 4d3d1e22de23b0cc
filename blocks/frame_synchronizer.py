"""FrameSynchronizer: frames out of a stream of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from blocks._air import AirSettings
from blocks._errors import told_by
from blocks.ports import ReceivedSymbols, Samples
from semstream.phy.channel import Reception
from semstream.phy.equalizer import NOISE_CAP
from semstream.phy.frame_receiver import AirReception, FrameReceiver
from semstream.phy.sequence import SequenceNumbers
from semstream.radio.samples import inspect
from semstream.runtime import Block, BlockError, Frame, In, Out, setting

_LATEST = 0.1  # weight of the newest frame in the SNR that names it


class FrameSynchronizer(Block):
    """Find frames in an endless stream of samples, and give the symbols of each, with their gains and noise.

    Input
    -----
    samples : Samples, in pieces of any length. NaN and infinite samples are taken for missing.

    Output
    ------
    received : ReceivedSymbols: ``received`` y and ``csi`` h, both complex64 (N,), h as the pilots show it, and
    ``noise_variance`` float32 (N,), all from the samples alone. Numbered from 0; tags ``number`` (of the frame, as its
    sender counts), ``modulation``, ``channel_uses``, ``snr_db`` (Es/N0 as measured over some ten frames, to the nearest
    dB), ``measured_snr_db`` (of this one), ``frequency_offset`` (of the symbol rate), ``concealed``. In the place of
    each frame that was lost, by the numbers, comes one with gains of 0 and ``concealed``, so that a demodulator shows
    the last good picture.

    Records
    -------
    One at the end: samples, preambles, frames, headers_lost, frames_lost (by the numbers), restarts (numbers that began
    anew), version, modulation (frames of others), not_finite, clipped (samples), cut.

    Usage
    -----
    ``FrameSynchronizer()`` behind `SampleSource` or whatever gives samples; `QamDemodulator` or
    `SideInformationDemodulator` behind it, by `modulation`. A frame must begin behind the end of the one before. A
    stream in which no frame is found within `patience`, or at all, ends the run or is counted, by `when_silent`.
    """

    samples = In(Samples)
    received = Out(ReceivedSymbols)
    renumber = True

    class Settings(AirSettings):
        modulation: Literal["", "qam", "pam"] = setting("", description="frames of others are not read; empty: all are")
        pilot_smoothing: int = setting(63, ge=1, description="pilots that a line is fitted through, an odd number")
        longest: int = setting(2**18, ge=16, le=2**20, unit="symbols", description="longest body that is believed")
        most_lost: int = setting(
            256, ge=0, le=32767, description="most frames lost in a row; a larger jump is a sender's restart"
        )
        patience: int = setting(
            0, ge=0, unit="symbols", description="longest wait for a frame while samples come; 0: for ever"
        )
        when_silent: Literal["end", "go_on"] = setting(
            "end", description="no frame within patience, or in the whole stream: the end of the run, or a warning"
        )

    def start(self) -> None:
        s = self.settings
        with told_by(self, "gap"):
            form = s.form
        if s.pilot_smoothing % 2 == 0:
            raise BlockError(f"block {self.name!r}, setting 'pilot_smoothing': expected an odd number")
        self._receiver = FrameReceiver(form, s.pilot_smoothing, s.longest, s.modulation)
        self._numbers = SequenceNumbers(s.most_lost)
        self._counts = dict.fromkeys(("frames_lost", "restarts", "clipped"), 0)
        self._told = ""
        self._silent = False
        self._snr_db: float | None = None

    def process(self, frame: Frame) -> Iterator[Frame]:
        self._counts["clipped"] += inspect(frame["samples"]).clipped
        for got in self._receiver.feed(frame["samples"]):
            yield from self._given(got)
        if self._receiver.refused != self._told:
            self._told = self._receiver.refused
            self.log.warning("%s", self._told)
        s = self.settings
        silent = bool(s.patience) and self._receiver.quiet > s.patience * s.samples_per_symbol
        if silent and not self._silent:
            self._tell_silence(f"no frame in {self._receiver.quiet // s.samples_per_symbol} symbols")
        self._silent = silent

    def _given(self, got: AirReception) -> Iterator[Frame]:
        header = got.header
        number, lost, restarted = self._numbers.arrive(header.seq)
        if restarted:
            self._counts["restarts"] += 1
            self.log.warning("frame %d: numbers begin anew; the sender was restarted, or much was lost", number)
        if lost:
            self._counts["frames_lost"] += lost
            self.log.warning("%d frames were lost before frame %d", lost, number)
        last = got.snr_db if self._snr_db is None else self._snr_db
        self._snr_db = last + _LATEST * (got.snr_db - last)
        tags: dict[str, Any] = {
            "modulation": header.modulation,
            "channel": "radio",
            "channel_uses": self._receiver.form.channel_uses(header),
            "snr_db": float(round(self._snr_db)),
            "measured_snr_db": got.snr_db,
            "frequency_offset": got.frequency,
        }
        for missing in range(number - lost, number):
            nothing = np.zeros(header.symbols, np.complex64)
            empty = Reception(nothing, nothing, np.full(header.symbols, NOISE_CAP, np.float32))
            yield Frame(empty._asdict(), tags=tags | {"number": missing, "concealed": True})
        if got.not_finite:
            self.log.warning("frame %d: %d samples that are no numbers", number, got.not_finite)
        yield Frame(got.reception._asdict(), tags=tags | {"number": number, "concealed": False})

    def _tell_silence(self, what: str) -> None:
        counts = {name: n for name, n in self._receiver.counts.items() if n and name != "samples"}
        seen = ", ".join(f"{name}: {n}" for name, n in sorted(counts.items())) or "no preamble"
        why = (
            f"; the last one: {self._receiver.refused}"
            if self._receiver.refused
            else ("; does the sender send, with the same samples_per_symbol, rolloff and preamble?")
        )
        message = f"block {self.name!r}: {what} ({seen}){why}"
        if self.settings.when_silent == "end":
            raise BlockError(message)
        self.log.warning("%s", message)

    def stop(self) -> None:
        if not hasattr(self, "_told"):
            return
        self._receiver.finish()
        counts = self._receiver.counts
        names = ("samples", "preambles", "frames", "headers_lost", "version", "modulation", "not_finite", "cut")
        self.publish({name: counts[name] for name in names} | self._counts)
        if counts["cut"]:
            self.log.warning("the stream ends within a frame, which is lost")
        if counts["samples"] and not counts["frames"] and not self._silent:
            self._tell_silence(f"no frame in all {counts['samples']} samples")
