"""PowerNormalizer: codes to complex symbols of mean power P."""

from __future__ import annotations

from typing import Literal

import numpy as np

from blocks._errors import told_by
from blocks._link import class_map, passed_on, side_information
from blocks.ports import Codes, Symbols
from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.copies import KINDS, Copies, CopyPlans, kinds_of, put_copies
from semstream.codec.side_information import SCALE_BITS, SideInformation, SideInformationError
from semstream.phy.amplitudes import to_symbols
from semstream.quantize.packing import PackingError
from semstream.runtime import Block, BlockError, Frame, In, Out, SkipFrame, live, setting


class PowerNormalizer(Block):
    """Modulate: each code is the amplitude of one real dimension (PAM), two a symbol, scaled to power P a frame.

    Input
    -----
    codes : Codes with side information. A payload that is not its frame's is skipped, counted as ``payload``.

    Output
    ------
    symbols : Symbols, complex64 (N,); a feature at 0 bits takes no symbol. Tags ``power_gain`` (float16, 16 bits of
    side information) and ``channel_uses``. A frame with the tag ``frame_energy``, a share of a band
    that several users have, is sent with that energy instead, however many symbols it has. Tag ``copies`` where
    there are any.

    Usage
    -----
    ``PowerNormalizer(dimensions=48)`` sends 32 channels of features over 48 real dimensions a site (CBR 1/2 with
    `swin-c32`): the 16 left over carry copies of the most important channels, repeated or, where the SNR allows, finer
    (`semstream.codec.copies`; over Rayleigh fading a symbol ``copies="repeated"`` is better). They are made for the SNR
    that a frame is tagged with, as bits are. `RateController` with ``copies`` chooses channels and dimensions by the
    bandwidth. Copies go by channel, so not with a map of classes; and the header of `SideInformationModulator` does not
    speak of them: that block leaves such frames out.
    """

    codes = In(Codes)
    symbols = Out(Symbols)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        power: float = setting(1.0, gt=0, description="mean power P of a symbol; SNR is stated for P = 1")
        dimensions: int = live(
            0, ge=0, description="real dimensions a site; those left over carry copies of features; 0: each once"
        )
        copies: Literal["folded", "repeated"] = live(
            "folded", description="what copies may be: repeated alone for channels that fade from symbol to symbol"
        )
        design_snr_db: float = live(
            10.0, ge=-20, unit="dB", description="SNR that copies in frames without a tag are made for"
        )

    def start(self) -> None:
        with told_by(self, "weights"):
            self._coder = FeatureCoder(load_profile(self.settings.weights)[0])
        self._plans = CopyPlans(self._coder.profile)

    def process(self, frame: Frame) -> Frame:
        side = side_information(self, self._coder, frame)
        try:
            values = self._coder.amplitudes(frame["payload"], side, class_map(frame))
        except (PackingError, SideInformationError) as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("payload") from None
        copies = self._copies(frame, side)
        if copies is not None:
            values = put_copies(values, self._coder.sent_channels(side), copies)
        energy = frame.tags.get("frame_energy")
        power = self.settings.power
        if isinstance(energy, float) and 0 < energy < 1e12 and values.size:
            power = energy / ((values.size + 1) // 2)
        symbols, gain = to_symbols(values, power)
        told = {} if copies is None else {"copies": copies.to_tag()}
        side_bits = side.side_bits + SCALE_BITS
        return Frame(
            {"symbols": symbols} | passed_on(frame),
            tags={"power_gain": gain, "side_bits": side_bits, "channel_uses": symbols.size} | told,
        )

    def _copies(self, frame: Frame, side: SideInformation) -> Copies | None:
        """Copies for the dimensions that are left over; None where there are none.

        Raises
        ------
        BlockError
            If features go by a map of classes, or more channels are sent than there are dimensions.
        """
        tagged = frame.tags.get("dimensions")
        dimensions = tagged if isinstance(tagged, int) else self.settings.dimensions
        if not dimensions:
            return None
        if side.class_map:
            raise BlockError(
                f"block {self.name!r}, setting 'dimensions': copies go by channel, and the classes of these features "
                "by element; set ContributionClassifier's granularity to 'channel', or dimensions to 0"
            )
        sent = self._coder.sent_channels(side)
        count = int(np.count_nonzero(sent))
        if count > dimensions:
            raise BlockError(
                f"block {self.name!r}, setting 'dimensions': {count} channels are sent and {dimensions} dimensions a "
                f"site cannot carry them; set NonUniformQuantizer's most_channels to {dimensions} or fewer"
            )
        snr_db = frame.tags.get("design_snr_db", frame.tags.get("snr_db"))
        snr_db = float(snr_db) if isinstance(snr_db, (int, float)) else self.settings.design_snr_db
        name = frame.tags.get("copies_as")
        kinds = kinds_of(name if name in KINDS else self.settings.copies)
        return self._plans.copies(sent, dimensions, snr_db, kinds) if count else None
