"""SampleChannel: noise and a receiver's offsets on a stream of samples."""

from __future__ import annotations

from blocks._errors import told_by
from blocks.ports import Samples
from semstream.phy import generator
from semstream.phy.stream_channel import StreamChannel, StreamImpairments
from semstream.runtime import Block, Frame, In, Out, setting


class SampleChannel(Block):
    """What a channel and two oscillators do to a stream that is received without knowing when anything comes.

    Input
    -----
    samples : Samples, complex64 (N,), Es = 1 a symbol as `FrameModulator` gives them.

    Output
    ------
    samples : Samples, complex64 (M,), M >= N: silence before, in which there is noise too.

    Usage
    -----
    ``SampleChannel(snr_db=7, frequency_offset=0.01, start=5000)``. The noise is drawn from (seed, name, seq).
    """

    samples = In(Samples)
    out = Out(Samples)

    class Settings(Block.Settings):
        snr_db: float = setting(10.0, ge=-50, unit="dB", description="Es/N0; inf: no noise")
        frequency_offset: float = setting(0.0, ge=-0.5, le=0.5, description="of the carrier, of the symbol rate")
        phase_noise: float = setting(0.0, ge=0, le=1, unit="rad²", description="variance of the phase's step a symbol")
        gain: float = setting(1.0, gt=0, lt=1e6, description="amplitude of the receiver's amplifier")
        start: int = setting(0, ge=0, le=2**24, unit="samples", description="latest start of the stream; drawn")
        idle: int = setting(0, ge=0, le=2**24, unit="samples", description="longest silence before a piece; drawn")
        samples_per_symbol: int = setting(2, ge=1, le=64, description="samples a symbol")

    def start(self) -> None:
        s = self.settings
        with told_by(self, "snr_db"):
            rate = s.samples_per_symbol
            impairments = StreamImpairments(
                s.snr_db, s.frequency_offset / rate, s.phase_noise / rate, s.gain, s.start, s.idle
            )
            self._channel = StreamChannel(impairments, generator(self.seed, f"{self.name} start", 0))

    def process(self, frame: Frame) -> Frame:
        return Frame({"samples": self._channel.through(frame["samples"], generator(self.seed, self.name, frame.seq))})
