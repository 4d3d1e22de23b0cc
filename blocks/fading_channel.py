"""FadingChannel: y = h ⊙ s + n."""

from __future__ import annotations

from typing import Literal

from blocks._errors import told_by
from blocks._link import passed_on
from blocks.ports import ReceivedSymbols, Symbols
from semstream.phy import CompositeOptions, generator
from semstream.phy.channel import apply
from semstream.runtime import Block, Frame, In, Out, live, setting


class FadingChannel(Block):
    """Send each frame's symbols over an AWGN, Rayleigh, Rician or composite channel (the paper, Equation 4).

    Input
    -----
    symbols : Symbols, complex64 (N,) of unit mean power.

    Output
    ------
    received : ReceivedSymbols: ``received`` y, ``csi`` h, both complex64 (N,), ``noise_variance`` σ² float32 (N,). Tags
    ``snr_db`` and ``channel``.

    Usage
    -----
    SNR is Es/N0 in dB. A frame that comes with the tag ``snr_db`` (from `SnrSweep`) is sent at that SNR. The noise is
    drawn from (seed, ``noise_key``, seq): the same frames under every engine; branches with one ``noise_key`` meet the
    same channel.
    """

    symbols = In(Symbols)
    received = Out(ReceivedSymbols)

    class Settings(Block.Settings):
        channel: Literal["awgn", "rayleigh", "rician", "composite"] = live("awgn", description="channel model")
        snr_db: float = live(10.0, ge=-50, unit="dB", description="Es/N0 of frames without the tag; inf: error-free")
        follow_snr: bool = live(True, description="send a frame tagged snr_db at that SNR")
        coherence: Literal["symbol", "frame"] | int = live("symbol", unit="symbols", description="length of a fade")
        rician_k: float = live(3.0, ge=0, description="power of the direct path over the scattered, linear")
        noise_swing: float = live(0.5, ge=-1, le=1, description="α of the composite channel's noise power")
        time_step: float = live(1.0, ge=0, description="advance of the composite channel's t ∈ [0, 100) a frame")
        subcarriers: int = setting(64, ge=1, description="of the composite channel's OFDM")
        taps: int = setting(8, ge=1, unit="samples", description="length of the composite channel's multipath")
        noise_key: str = setting("", description="what the noise is drawn by; empty: the block's name")

    def start(self) -> None:
        with told_by(self, "taps"):
            self._composite()

    def _composite(self) -> CompositeOptions:
        s = self.settings
        return CompositeOptions(
            subcarriers=s.subcarriers, taps=s.taps, cyclic_prefix=max(16, s.taps - 1), noise_swing=s.noise_swing
        )

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        tagged = frame.tags.get("snr_db") if s.follow_snr else None
        snr_db = float(tagged) if isinstance(tagged, (int, float)) else s.snr_db
        with told_by(self, "channel"):
            reception = apply(
                frame["symbols"],
                s.channel,
                snr_db,
                generator(self.seed, s.noise_key or self.name, frame.seq),
                coherence=s.coherence,
                rician_k=s.rician_k,
                composite=self._composite(),
                time=frame.seq * s.time_step % 100,
            )
        return Frame(reception._asdict() | passed_on(frame), tags={"snr_db": snr_db, "channel": s.channel})
