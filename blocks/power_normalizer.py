"""PowerNormalizer: codes to complex symbols of mean power P."""

from __future__ import annotations

from blocks._errors import told_by
from blocks._link import class_map, passed_on, side_information
from blocks.ports import Codes, Symbols
from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.side_information import SCALE_BITS, SideInformationError
from semstream.phy.amplitudes import to_symbols
from semstream.quantize.packing import PackingError
from semstream.runtime import Block, Frame, In, Out, SkipFrame, setting


class PowerNormalizer(Block):
    """Modulate: each code is the amplitude of one real dimension (PAM), two a symbol, scaled to power P a frame.

    Input
    -----
    codes : Codes with side information. A payload that is not its frame's is skipped, counted as ``payload``.

    Output
    ------
    symbols : Symbols, complex64 (N,); a feature at 0 bits takes no symbol. Tags ``power_gain`` (float16, 16 bits of
    side information) and ``channel_uses``. A frame with the tag ``frame_energy``, a share of a band
    that several users have, is sent with that energy instead, however many symbols it has.
    """

    codes = In(Codes)
    symbols = Out(Symbols)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        power: float = setting(1.0, gt=0, description="mean power P of a symbol; SNR is stated for P = 1")

    def start(self) -> None:
        with told_by(self, "weights"):
            self._coder = FeatureCoder(load_profile(self.settings.weights)[0])

    def process(self, frame: Frame) -> Frame:
        side = side_information(self, self._coder, frame)
        try:
            values = self._coder.amplitudes(frame["payload"], side, class_map(frame))
        except (PackingError, SideInformationError) as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("payload") from None
        energy = frame.tags.get("frame_energy")
        power = self.settings.power
        if isinstance(energy, float) and 0 < energy < 1e12 and values.size:
            power = energy / ((values.size + 1) // 2)
        symbols, gain = to_symbols(values, power)
        return Frame(
            {"symbols": symbols} | passed_on(frame),
            tags={"power_gain": gain, "side_bits": side.side_bits + SCALE_BITS, "channel_uses": symbols.size},
        )
