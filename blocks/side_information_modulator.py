"""SideInformationModulator: amplitudes with all that their receiver must be told before them, on the air."""

from __future__ import annotations

from blocks._errors import told_by
from blocks._link import class_map, side_information
from blocks._qam import open_link
from blocks.ports import Symbols
from semstream.codec.amplitude_header import AmplitudeHeader
from semstream.codec.side_information import SideInformationError
from semstream.phy.errors import PhyError
from semstream.runtime import Block, BlockError, Frame, In, Out, SkipFrame, setting


class SideInformationModulator(Block):
    """Send the side information of amplitudes (`pam`) as a coded header before them.

    Input
    -----
    symbols : Symbols of `PowerNormalizer`, with side information and ``power_gain``. What is not of one frame is
    skipped, counted as ``side_information``.

    Output
    ------
    symbols : Symbols: header (QPSK, LDPC, CRC), map of classes where there is one, amplitudes. Tags ``channel_uses``,
    ``header_uses`` and ``side_bits`` count the header.

    Usage
    -----
    ``SideInformationModulator()`` behind `PowerNormalizer`, `SideInformationDemodulator` before `Dequantizer`: then
    the receiver needs nothing but symbols. Takes the extra ``radio``.
    """

    symbols = In(Symbols)
    out = Out(Symbols)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        header_rate: float = setting(1 / 3, ge=0.2, le=0.75, description="code rate of the header")

    def start(self) -> None:
        link = open_link(self, self.settings.weights)
        self._coder = link.coder
        with told_by(self, "header_rate"):
            self._header = AmplitudeHeader(link, self.settings.header_rate)

    def process(self, frame: Frame) -> Frame:
        side = side_information(self, self._coder, frame)
        gain = frame.tags.get("power_gain")
        try:
            if not isinstance(gain, float) or not 0 < gain < 1e4:
                raise SideInformationError(
                    f"side information 'power_gain': expected a positive number, got {gain!r:.40}"
                )
            headed = self._header.put(frame["symbols"], side, gain, frame.seq, class_map(frame))
        except SideInformationError as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("side_information") from None
        except PhyError as error:
            raise BlockError(f"block {self.name!r}: {error}") from None
        tags = {
            "channel_uses": headed.symbols.size,
            "header_uses": headed.header_symbols,
            "side_bits": headed.header_bits,
        }
        return Frame({"symbols": headed.symbols}, tags=tags)
