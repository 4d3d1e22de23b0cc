"""QamModulator: the packed bits of a frame over Gray QAM, coded and protected, behind a header of their own."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal

from blocks._errors import told_by
from blocks._link import class_map, side_information
from blocks._qam import open_link
from blocks.ports import Codes, Symbols
from semstream.codec.qam_format import QamFormat
from semstream.codec.side_information import SideInformationError
from semstream.phy.errors import PhyError
from semstream.quantize.packing import PackingError
from semstream.runtime import Block, BlockError, Frame, In, Out, SkipFrame, live, setting

FOLLOWED = ("order", "code_rate", "channel_uses", "protection", "spread_db", "layers")
"""Fields of a `QamFormat` that a frame's tag sets."""


class QamModulator(Block):
    """Send a frame's bits, and all that its receiver must be told, as QAM symbols: fewer bits are fewer channel uses.

    The header (number, size, scale, gain, format, bits of each channel) comes first, over QPSK at a low rate with a
    CRC; then the map of classes, where there is one; then the payload, most significant bits first, by 5G LDPC or
    uncoded. Put it where `PowerNormalizer` would stand, with `QamDemodulator` in place of `Dequantizer`.

    Input
    -----
    codes : Codes with side information. What is not of one frame is skipped, counted as ``payload``.

    Output
    ------
    symbols : Symbols, complex64 (N,). Tags ``channel_uses``, ``header_uses``, ``side_bits`` (header and map with their
    checksums), ``power_gain``.

    Usage
    -----
    ``QamModulator(order=16, code_rate=0.5)``; ``code_rate=1`` is uncoded. ``channel_uses`` fills a given number of
    symbols instead, whatever the code rate then is. ``protection="code"`` gives significant bits a stronger code within
    the same channel uses, ``"power"`` more power. The header is always LDPC-coded, which takes the extra ``radio``.
    A frame that a `RateController` has tagged with a format is sent in it, unless ``follow_rate`` is off.
    Where frames are tagged with an SNR, quantize with ``follow_snr=False``: decoded bits have no noise.
    """

    codes = In(Codes)
    symbols = Out(Symbols)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        order: Literal[4, 16, 64, 256] = live(16, description="points of the QAM")
        code_rate: float = live(0.5, ge=0.2, le=1, description="payload bits a code bit, up to 0.95; 1: uncoded")
        channel_uses: int = live(0, ge=0, le=2**20, unit="symbols", description="fill so many; 0: by the code rate")
        protection: Literal["equal", "code", "power"] = live("equal", description="what significant bits get more of")
        spread_db: float = live(0.5, ge=0, le=7.75, unit="dB", description="more for the first layer than the mean")
        layers: int = live(2, ge=1, le=8, description="layers of unequal protection")
        label: Literal["gray", "natural"] = live("gray", description="bits of neighbouring levels")
        header_rate: float = setting(1 / 3, ge=0.2, le=0.75, description="code rate of the header")
        follow_rate: bool = live(True, description="keep to the format that a RateController has tagged a frame with")
        power: float = setting(1.0, gt=0, description="mean power P of a symbol; SNR is stated for P = 1")

    def start(self) -> None:
        self._link = open_link(self, self.settings.weights)
        self._format()

    def on_change(self, changed: set[str]) -> None:
        self._format()

    def _format(self) -> None:
        s = self.settings
        self._form = QamFormat(**{field.name: getattr(s, field.name) for field in fields(QamFormat)})
        with told_by(self, "code_rate"):
            self._form.check()

    def process(self, frame: Frame) -> Frame:
        side = side_information(self, self._link.coder, frame)
        form = self._told(frame) if self.settings.follow_rate else self._form
        try:
            sent = self._link.transmit(frame["payload"], side, frame.seq, form, class_map(frame))
        except (PackingError, SideInformationError) as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("payload") from None
        except PhyError as error:
            raise BlockError(f"block {self.name!r}: {error}") from None
        tags = {
            "power_gain": form.power**0.5,
            "side_bits": sent.header_bits,
            "channel_uses": sent.symbols.size,
            "header_uses": sent.header_symbols,
        }
        return Frame({"symbols": sent.symbols}, tags=tags)

    def _told(self, frame: Frame) -> QamFormat:
        """The format that the frame is tagged with, with this block's own header, label and power; or the block's."""
        told = frame.tags.get("qam_format")
        if told is None:
            return self._form
        try:
            form = replace(self._form, **{name: told[name] for name in FOLLOWED})
            form.check()
        except (TypeError, KeyError, PhyError) as error:
            self.log.warning("frame %d: qam_format %r is none (%s); left out", frame.seq, told, error)
            raise SkipFrame("qam_format") from None
        return form
