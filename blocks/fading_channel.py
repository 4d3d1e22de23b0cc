"""FadingChannel: y = h ⊙ s + n."""

from __future__ import annotations

from typing import Any, Literal

from blocks._errors import told_by
from blocks._link import passed_on
from blocks.ports import ReceivedSymbols, Symbols
from semstream.phy import CompositeOptions, generator
from semstream.phy.impairments import Impairments
from semstream.phy.standard_fading import MOVING_KINDS, MovingOptions, StandardFading
from semstream.phy.transmission import Air, transmit
from semstream.runtime import Block, Frame, In, Out, live, setting


class FadingChannel(Block):
    """Send each frame's symbols over an AWGN, fading or composite channel (the paper, Equation 4), and receive them.

    Input
    -----
    symbols : Symbols, complex64 (N,) of unit mean power.

    Output
    ------
    received : ReceivedSymbols: ``received`` y, ``csi`` h, both complex64 (N,), ``noise_variance`` σ² float32 (N,). Tags
    ``snr_db`` and ``channel``; with pilots or a preamble, ``channel_uses`` counts them.

    Records
    -------
    One at the end where a preamble is looked for: bursts, and lost, those in which none was found.

    Usage
    -----
    SNR is Es/N0 in dB. A frame that comes with the tag ``snr_db`` (from `SnrSweep`) is sent at that SNR. The noise is
    drawn from (seed, ``noise_key``, seq): the same frames under every engine; branches with one ``noise_key`` meet the
    same channel.

    With ``csi="estimated"`` the receiver knows σ² and what kind of channel it is, and finds h from pilots: ``csi`` is
    then the estimate and ``noise_variance`` includes its error. Pilots that are asked for beside perfect CSI are sent
    all the same, over the same channel, so that the two compare. ``doppler`` (flat fading), ``tdl`` and ``cdl`` (3GPP
    TR 38.901, over OFDM) come from Sionna, the extra ``radio``. Frequency, phase and timing offsets are of flat
    channels; a preamble finds the burst, and where none is found the frame is lost: gains of 0.
    """

    symbols = In(Symbols)
    received = Out(ReceivedSymbols)
    state = ("_counts",)

    class Settings(Block.Settings):
        channel: Literal["awgn", "rayleigh", "rician", "composite", "doppler", "tdl", "cdl"] = live(
            "awgn", description="channel model"
        )
        snr_db: float = live(10.0, ge=-50, unit="dB", description="Es/N0 of frames without the tag; inf: error-free")
        follow_snr: bool = live(True, description="send a frame tagged snr_db at that SNR")
        coherence: Literal["symbol", "frame"] | int = live("symbol", unit="symbols", description="length of a fade")
        rician_k: float = live(3.0, ge=0, description="power of the direct path over the scattered, linear")
        noise_swing: float = live(0.5, ge=-1, le=1, description="α of the composite channel's noise power")
        time_step: float = live(1.0, ge=0, description="advance of the composite channel's t ∈ [0, 100) a frame")
        subcarriers: int = setting(64, ge=1, description="of the composite channel's OFDM")
        taps: int = setting(8, ge=1, unit="samples", description="length of the composite channel's multipath")
        csi: Literal["perfect", "estimated"] = live("perfect", description="how the receiver knows the channel")
        estimator: Literal["mmse", "ls"] = live("mmse", description="linear MMSE, or least squares with lines between")
        pilots: float | None = live(
            None, ge=0, le=0.5, description="share of channel uses; empty: 0.1 where estimated, else none"
        )
        preamble: int | None = live(
            None, ge=0, le=4096, unit="symbols", description="before a burst; empty: 64 where one must be found"
        )
        doppler: float = setting(1e-3, ge=0, le=0.5, description="maximum Doppler shift, of the symbol rate")
        profile: Literal["A", "B", "C", "D", "E"] = setting("A", description="of tdl and cdl")
        delay_spread: float = setting(0.7, ge=0, unit="samples", description="RMS, of tdl and cdl")
        frequency_offset: float = live(0.0, ge=-0.5, le=0.5, description="of the carrier, of the symbol rate")
        phase_noise: float = live(0.0, ge=0, le=1, unit="rad²", description="variance of the phase's step a symbol")
        timing_offset: float = live(0.0, ge=0, le=1e6, unit="symbols", description="latest start of a burst")
        interleave: bool = live(False, description="spread a fade over the picture: send symbols in another order")
        noise_key: str = setting("", description="what the noise is drawn by; empty: the block's name")

    def start(self) -> None:
        self._moving: dict[str, StandardFading] = {}
        self._counts = {"bursts": 0, "lost": 0}
        with told_by(self, "channel"):
            self._air()

    def _air(self) -> Air:
        s = self.settings
        composite = CompositeOptions(
            subcarriers=s.subcarriers, taps=s.taps, cyclic_prefix=max(16, s.taps - 1), noise_swing=s.noise_swing
        )
        if s.channel in MOVING_KINDS and s.channel not in self._moving:
            moving = MovingOptions(s.channel, s.doppler, s.profile, s.delay_spread)
            self._moving[s.channel] = StandardFading(moving, composite)
        return Air(
            s.channel, s.csi, s.estimator, s.pilots, s.preamble,
            Impairments(s.frequency_offset, s.phase_noise, s.timing_offset), s.coherence, s.rician_k, composite,
            self._moving.get(s.channel), s.interleave,
        )  # fmt: skip

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        tagged = frame.tags.get("snr_db") if s.follow_snr else None
        snr_db = float(tagged) if isinstance(tagged, (int, float)) else s.snr_db
        symbols = frame["symbols"]
        with told_by(self, "channel"):
            air = self._air()
            rng = generator(self.seed, s.noise_key or self.name, frame.seq)
            sent = transmit(symbols, air, snr_db, rng, time=frame.seq * s.time_step % 100)
        tags: dict[str, Any] = {"snr_db": snr_db, "channel": s.channel}
        if sent.channel_uses != symbols.size:
            uses = frame.tags.get("channel_uses", symbols.size)
            tags["channel_uses"] = uses + sent.channel_uses - symbols.size
        if air.searches:
            self._counts["bursts"] += 1
            if not sent.found:
                self._counts["lost"] += 1
                self.log.warning("frame %d: no preamble found; its symbols are lost", frame.seq)
        return Frame(sent.reception._asdict() | passed_on(frame), tags=tags)

    def stop(self) -> None:
        if self._counts["bursts"]:
            self.publish(dict(self._counts))
