"""GnuRadioChannel: a frame's symbols through a real GNU Radio and back."""

from __future__ import annotations

from typing import Literal

import numpy as np

from blocks._errors import told_by
from blocks._link import passed_on
from blocks._radio import BurstReceiver, Csi, RadioSettings, waveform
from blocks.ports import ReceivedSymbols, Symbols
from semstream.phy import noise_power
from semstream.radio import RadioError
from semstream.radio.bursts import Burst, Layout
from semstream.radio.channel import RadioChannel
from semstream.radio.process import channel_options, unit_energy
from semstream.runtime import Block, BlockError, Frame, In, Out, SkipFrame, live, setting


class GnuRadioChannel(Block):
    """Send each frame's symbols through GNU Radio over its ZeroMQ blocks, and receive them.

    Input
    -----
    symbols : Symbols, complex64 (N,) of unit mean power.

    Output
    ------
    received : ReceivedSymbols: ``received`` y, ``csi`` as the receiver knows it, both complex64 (N,), and
    ``noise_variance`` float32 (N,). Tags ``snr_db``, ``channel``, ``channel_uses`` (pilots and flush counted) and
    ``missing_samples``.

    Records
    -------
    One at the end: bursts, lost (bursts that did not come), restarts, missing_samples, not_finite, clipped (samples)
    and faults (what was wrong with messages and tags, by kind).

    Usage
    -----
    ``GnuRadioChannel(snr_db=10)`` starts the GNU Radio flowgraph that semstream ships, under the system's Python, and
    ends it with the run. With `send` and `receive` it uses one that runs already, such as ``channel.grc`` of
    `semstream.radio.companion`; then `snr_db` says what its noise is.

    With ``restart="on_failure"`` a GNU Radio of our own that dies is started again, at most `most_restarts` times: the
    burst that it had is lost and counted by `when_lost`, and the frames behind it wait or are dropped as the edge says.

    What the receiver knows (`csi`): the noise power, as set, in every case. ``known`` takes the gain to be 1, which is
    right for noise alone; ``pilots`` reads gain and frequency offset of flat fading from a comb of pilots;
    ``preamble`` reads the impulse response of multipath from known symbols. ``auto`` takes what `channel` needs.
    """

    symbols = In(Symbols)
    received = Out(ReceivedSymbols)

    class Settings(RadioSettings):
        channel: Literal["awgn", "rayleigh", "rician", "multipath", "none"] = setting(
            "awgn", description="channel in GNU Radio; none: samples come back as they went"
        )
        snr_db: float = live(10.0, ge=-50, unit="dB", description="Es/N0 of frames without the tag; inf: error-free")
        follow_snr: bool = live(True, description="send a frame tagged snr_db at that SNR")
        frequency_offset: float = setting(0.0, ge=-0.5, le=0.5, description="of the symbol rate")
        doppler: float = setting(1e-4, gt=0, le=0.1, description="maximum Doppler shift, of the symbol rate")
        rician_k: float = setting(3.0, ge=0, description="power of the direct path over the scattered, linear")
        taps: list[str] = setting(
            ["1", "0.5", "0.3j"], min_length=1, description="multipath as complex numbers; made unit energy"
        )
        csi: Literal["auto", "known", "pilots", "preamble"] = setting("auto", description="how the channel is known")
        send: str = setting("", description="endpoint to bind, where a running GNU Radio takes samples; empty: our own")
        receive: str = setting("", description="endpoint to connect to, where it gives them")
        python: str = setting("", description="Python that has GNU Radio; empty: /usr/bin/python3")
        timeout: float = setting(3.0, gt=0, le=600, unit="s", description="longest wait for a burst")
        when_lost: Literal["zeros", "skip", "end"] = live(
            "zeros", description="a burst that did not come: zeros of unknown value, no frame, or the end of the run"
        )
        when_dead: Literal["end", "go_on"] = live(
            "end", description="GNU Radio has died: the end of the run, or every burst lost from then on"
        )
        restart: Literal["never", "on_failure"] = setting(
            "never", description="start our own GNU Radio again when it has died, before when_dead says what then"
        )
        most_restarts: int = setting(5, ge=1, le=1000, description="of a run")

    def start(self) -> None:
        s = self.settings
        self._dead = ""
        self._radio: RadioChannel | None = None
        with told_by(self, "csi"):
            self._waveform = waveform(self._csi(), s)
        self._receiver = BurstReceiver(self, self._waveform)
        with told_by(self, "taps"):
            unit_energy(s.taps)
        bare = s.channel == "none" and not s.send
        layout = Layout(0, s.flush, s.longest) if bare else s.layout
        self._zeros = layout.zeros(s.mode)
        options = channel_options(
            s.snr_db, fading=s.channel if s.channel in ("rayleigh", "rician") else "none", doppler=s.doppler,
            rician_k=s.rician_k, taps=s.taps if s.channel == "multipath" else ["1"],
            frequency_offset=s.frequency_offset, seed=self.seed, longest=s.longest,
        )  # fmt: skip
        with told_by(self, "send" if s.send or s.receive else "python"):
            self._radio = RadioChannel(
                s.mode, layout, send=s.send, receive=s.receive,
                python=s.python, options=options + ["--bare"] * bare, snr_db=s.snr_db, timeout=s.timeout,
                go_on=lambda: self.pause(0.002), allow_remote=s.allow_remote,
                restarts=s.most_restarts if s.restart == "on_failure" else 0,
            )  # fmt: skip

    def _csi(self) -> Csi:
        s = self.settings
        if s.csi != "auto":
            csi: Csi = s.csi
            return csi
        if s.channel == "multipath":
            return "preamble"
        return "pilots" if s.channel in ("rayleigh", "rician") or s.frequency_offset else "known"

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        tagged = frame.tags.get("snr_db") if s.follow_snr else None
        snr_db = float(tagged) if isinstance(tagged, (int, float)) else s.snr_db
        symbols = frame["symbols"]
        tags = {"snr_db": snr_db, "channel": s.channel, "channel_uses": 0, "missing_samples": 0}
        if not symbols.size:
            empty = np.zeros(0, np.complex64)
            return Frame({"received": empty, "csi": empty, "noise_variance": np.zeros(0, np.float32)}, tags=tags)
        with told_by(self, "snr_db"):
            variance = 0.0 if s.channel == "none" else noise_power(snr_db)
        samples = self._waveform.modulate(symbols)
        if samples.size > s.longest:
            raise BlockError(
                f"block {self.name!r}, setting 'longest': burst {frame.seq} has {samples.size} samples, not {s.longest}"
            )
        burst = self._through(frame.seq, samples, s.snr_db if s.channel == "none" else snr_db)
        if burst is not None:
            reception = self._receiver.receive(burst, symbols.size, variance)
        else:
            reception = self._receiver.lose(symbols.size)
            self._tell_loss(frame.seq)
        tags |= {
            "channel_uses": samples.size + self._zeros,
            "missing_samples": burst.missing if burst is not None else samples.size,
        }
        return Frame(reception._asdict() | passed_on(frame), tags=tags)

    def _through(self, number: int, samples: np.ndarray, snr_db: float) -> Burst | None:
        if self._dead:
            return None
        assert self._radio is not None
        try:
            return self._radio.through(number, samples, snr_db)
        except RadioError as error:
            if self.settings.when_dead == "end":
                raise BlockError(f"block {self.name!r}: {error}; to go on without it, set when_dead='go_on'") from None
            self._dead = str(error)
            self.log.error("%s; every burst is lost from here on", error)
            return None

    def _tell_loss(self, number: int) -> None:
        assert self._radio is not None
        if self.settings.when_lost == "skip":
            raise SkipFrame("lost_burst")
        if self.settings.when_lost == "end":
            raise BlockError(
                f"block {self.name!r}: burst {number} did not come back from GNU Radio within "
                f"{self.settings.timeout:g} s ({self._radio.told()}); does its flowgraph run, and are mode, advance "
                "and flush what it needs?"
            )
        if not self._dead:
            self.log.warning("burst %d did not come back (%s); zeros in its place", number, self._radio.told())

    def stop(self) -> None:
        if self._radio is not None:
            self._radio.close()
            self.publish(self._receiver.counts | {"restarts": self._radio.restarts, "faults": dict(self._radio.faults)})
