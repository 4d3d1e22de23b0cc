"""RateController: the budget of each frame, from the bandwidth and the SNR at hand."""

from __future__ import annotations

from typing import Literal

from blocks.ports import ClassifiedFeatures
from semstream.runtime import Block, Frame, In, Out, live


class RateController(Block):
    """Set each frame's budget for the best expected quality within its bandwidth (the paper's future work).

    The air gives a number of complex channel uses, so twice as many features can be sent; a link that is limited in
    bits besides gives a number of those. The controller tags the frame with both limits and with the SNR to allocate
    for; `NonUniformQuantizer` with the scheme ``optimal`` then finds which channels of features to send and with how
    many bits, so that the expected distortion after quantization and channel is least (`Profile.allocate`).

    Input
    -----
    features : ClassifiedFeatures with the tag ``bandwidth_uses`` (complex channel uses) or ``bandwidth_bits``.

    Output
    ------
    controlled : ClassifiedFeatures, with the tags ``budget_bits`` (bits a feature), ``most_features`` and
    ``design_snr_db``.
    """

    features = In(ClassifiedFeatures)
    controlled = Out(ClassifiedFeatures)

    class Settings(Block.Settings):
        snr: Literal["given", "estimated"] = live(
            "given", description="SNR to allocate for: the tag snr_db, or snr_estimate_db where there is one"
        )
        bits: float = live(8.0, ge=1, le=12, unit="bits", description="bits for each feature that is sent, on average")
        margin: float = live(0.0, ge=0, lt=1, description="share of the bandwidth that is left free")
        most_bits: int = live(0, ge=0, unit="bits", description="most payload bits a frame; 0: no such limit")

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        height, width, channels = frame["features"].shape
        count, sites = height * width * channels, height * width
        uses = frame.tags.get("bandwidth_uses")
        most = count
        if isinstance(uses, int):
            most = min(count, 2 * int(uses * (1 - s.margin)))
        if most < sites:
            self.log.warning("frame %d: %s channel uses carry no channel of features; left out", frame.seq, uses)
            self.skip("bandwidth")
        most -= most % sites
        limits = [s.bits * most]
        limits += [float(s.most_bits)] if s.most_bits else []
        tagged = frame.tags.get("bandwidth_bits")
        limits += [tagged * (1 - s.margin)] if isinstance(tagged, int) else []
        tags = {"budget_bits": min(12.0, min(limits) / count), "most_features": most}
        estimate = frame.tags.get("snr_estimate_db")
        if s.snr == "estimated" and isinstance(estimate, (int, float)):
            tags["design_snr_db"] = float(estimate)
        return frame.replace(tags=tags)
