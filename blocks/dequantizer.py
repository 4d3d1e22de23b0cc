"""Dequantizer: received symbols to features, with how far each can be trusted."""

from __future__ import annotations

from typing import Literal

from blocks._errors import told_by
from blocks._link import class_map, side_information
from blocks.ports import Features, ReceivedSymbols
from semstream.codec.checkpoint import load_profile
from semstream.codec.coder import FeatureCoder
from semstream.codec.copies import Copies, CopiesError, take_copies
from semstream.codec.side_information import SideInformationError
from semstream.phy.amplitudes import from_symbols
from semstream.runtime import Block, Frame, In, Out, SkipFrame, live, setting


class Dequantizer(Block):
    """Equalise with perfect CSI (MMSE, unbiased), demodulate, dequantize (the paper, Equation 5 and Algorithm 2).

    Input
    -----
    received : ReceivedSymbols with side information, and the tag ``copies`` where features were sent twice; what does
    not belong together is skipped, counted as ``side_information``.

    Output
    ------
    features : Features; ``features`` and ``noise_variance`` float32 (h, w, C). A feature that was not sent is 0 with a
    noise variance of 10⁴.

    Usage
    -----
    ``linear`` is what the shipped decoder was trained with, so it undoes that noise best, although ``soft`` has the
    smaller error before the decoder: at 3 bits over AWGN ``soft`` is 0.04 (13 dB) to 0.4 dB (1 dB) of PSNR behind.
    """

    received = In(ReceivedSymbols)
    features = Out(Features)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        mode: Literal["linear", "hard", "soft"] = live(
            "linear", description="the amplitude as it is, the nearest level, or the posterior mean over the levels"
        )

    def preload(self) -> tuple[str, ...]:
        return ("scipy.special",)

    def start(self) -> None:
        with told_by(self, "weights"):
            self._coder = FeatureCoder(load_profile(self.settings.weights)[0])

    def process(self, frame: Frame) -> Frame:
        side = side_information(self, self._coder, frame)
        gain = frame.tags.get("power_gain")
        try:
            count = self._coder.sent_count(side, class_map(frame))
            copies = Copies.from_tag(frame.tags.get("copies", []), self._coder.profile.channels)
            count += len(copies) * side.shape[0] * side.shape[1]
            if not isinstance(gain, float) or not 0 < gain < 1e5:
                raise SideInformationError(
                    f"side information 'power_gain': expected a positive number, got {gain!r:.40}"
                )
            if (count + 1) // 2 != frame["received"].size:
                raise SideInformationError(
                    f"{frame['received'].size} symbols, the side information says {(count + 1) // 2}"
                )
            values, variance = from_symbols(frame["received"], frame["csi"], frame["noise_variance"], count, gain)
            if len(copies):
                sent = self._coder.sent_channels(side)
                values, variance = take_copies(values, variance, sent, copies, self._coder.profile)
            features, noise = self._coder.observe(values, variance, side, class_map(frame), self.settings.mode)
        except (SideInformationError, CopiesError) as error:
            self.log.warning("frame %d: %s; left out", frame.seq, error)
            raise SkipFrame("side_information") from None
        return Frame({"features": features, "noise_variance": noise})
