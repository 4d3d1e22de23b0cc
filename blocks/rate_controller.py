"""RateController: the budget of each frame, from the bandwidth and the SNR at hand."""

from __future__ import annotations

import math
from typing import Any, Literal

from blocks._errors import told_by
from blocks._qam import open_link
from blocks.ports import ClassifiedFeatures
from semstream.codec.checkpoint import load_profile
from semstream.codec.copies import CopyPlans, kinds_of
from semstream.codec.qam_design import designed, equivalent_snr_db
from semstream.phy.errors import PhyError
from semstream.runtime import Block, Frame, In, Out, SkipFrame, live, setting

_STEP_DB = 0.25  # SNRs are rounded down to such steps, so that a format is made once and kept
_KEPT = 1000


class RateController(Block):
    """Set each frame's budget for the best expected quality within its bandwidth (the paper's future work).

    The air gives a number of complex channel uses. As amplitudes twice as many features can be sent; a link that is
    limited in bits besides gives a number of those. The controller tags the frame with both limits and with the SNR to
    allocate for; `NonUniformQuantizer` with the scheme ``optimal`` then finds which channels of features to send and
    with how many bits, so that the expected distortion after quantization and channel is least (`Profile.allocate`).
    With ``copies`` it also sets what `PowerNormalizer` sends twice: the strongest channels in place of the weakest, and
    up to twice the channel uses that all features take once (`semstream.codec.copies`).

    With ``modulation="qam"`` it chooses order of the QAM, code rate and bits by the SNR instead, so that they fill the
    bandwidth and decode: the format that `semstream.codec.qam_design.designed` makes for an SNR that is `backoff_db`
    below the one at hand, on a channel that carries as much as `channel` does. `QamModulator` follows it. Over the
    composite channel a backoff of 0 or 1 dB did best and 2 dB cost 1 dB of PSNR; an estimate must not lag
    (`SnrEstimator` with ``memory=0``).

    Input
    -----
    features : ClassifiedFeatures with the tag ``bandwidth_uses`` (complex channel uses) or ``bandwidth_bits``; as
    ``qam`` without either, the channel uses that amplitudes would take. There a frame without an SNR goes by
    ``fixed_snr_db``.

    Output
    ------
    controlled : ClassifiedFeatures, with the tags ``budget_bits`` (bits a feature), ``most_features``,
    ``design_snr_db``, ``dimensions`` with ``copies_as``, and ``qam_format``.
    """

    features = In(ClassifiedFeatures)
    controlled = Out(ClassifiedFeatures)

    class Settings(Block.Settings):
        snr: Literal["given", "estimated", "fixed"] = live(
            "given", description="SNR to go by: the tag snr_db, or snr_estimate_db where there is one, or fixed_snr_db"
        )
        fixed_snr_db: float = live(7.0, ge=-20, unit="dB", description="SNR to go by where it is fixed, or unknown")
        bits: float = live(8.0, ge=1, le=12, unit="bits", description="bits for each feature that is sent, on average")
        margin: float = live(0.0, ge=0, lt=1, description="share of the bandwidth that is left free")
        most_bits: int = live(0, ge=0, unit="bits", description="most payload bits a frame; 0: no such limit")
        modulation: Literal["pam", "qam"] = live("pam", description="what the features are sent as")
        code: Literal["ldpc", "unequal"] = live("ldpc", description="qam: the same code for all bits, or layers")
        channel: Literal["awgn", "rayleigh", "rician", "composite"] = live(
            "awgn", description="qam: the channel, by which an SNR is good for more or fewer bits"
        )
        backoff_db: float = live(1.0, ge=-10, le=20, unit="dB", description="qam: what the SNR may be less than taken")
        copies: Literal["none", "folded", "repeated"] = live(
            "none", description="pam: what fills bandwidth that is left over; repeated for channels that fade fast"
        )
        weights: str = setting("", description="qam and copies: the weights that the encoder uses")

    def start(self) -> None:
        self._link = open_link(self, self.settings.weights) if self.settings.modulation == "qam" else None
        self._made: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._plans: CopyPlans | None = None

    def process(self, frame: Frame) -> Frame:
        if self.settings.modulation == "qam":
            return frame.replace(tags=self._bits(frame))
        return frame.replace(tags=self._amplitudes(frame))

    def _amplitudes(self, frame: Frame) -> dict[str, Any]:
        s = self.settings
        height, width, channels = frame["features"].shape
        count, sites = height * width * channels, height * width
        uses = frame.tags.get("bandwidth_uses")
        most = count
        if isinstance(uses, int):
            most = min(count, 2 * int(uses * (1 - s.margin)))
        if most < sites:
            self.log.warning("frame %d: %s channel uses carry no channel of features; left out", frame.seq, uses)
            raise SkipFrame("bandwidth")
        most -= most % sites
        copied: dict[str, Any] = {}
        if s.copies != "none" and isinstance(uses, int):
            dimensions = min(2 * int(uses * (1 - s.margin)) // sites, 2 * channels)
            snr_db = self._snr_db(frame, s.fixed_snr_db)
            assert snr_db is not None
            most = sites * int(self._copy_plans().sent(dimensions, snr_db, kinds_of(s.copies)).sum())
            copied = {"dimensions": dimensions, "copies_as": s.copies, "design_snr_db": snr_db}
        tags = {
            "budget_bits": min(12.0, min(self._limits(frame, s.bits * most)) / count),
            "most_features": most,
        } | copied
        if s.snr != "given":
            known = self._snr_db(frame, None)
            if known is not None:
                tags["design_snr_db"] = known
        return tags

    def _copy_plans(self) -> CopyPlans:
        if self._plans is None:
            with told_by(self, "weights"):
                self._plans = CopyPlans(load_profile(self.settings.weights)[0])
        return self._plans

    def _limits(self, frame: Frame, bits: float) -> list[float]:
        """Limits in bits a frame."""
        s = self.settings
        tagged = frame.tags.get("bandwidth_bits")
        limits = [bits, float(s.most_bits)] if s.most_bits else [bits]
        return [*limits, tagged * (1 - s.margin)] if isinstance(tagged, int) else limits

    def _snr_db(self, frame: Frame, otherwise: float | None) -> float | None:
        s = self.settings
        if s.snr == "fixed":
            fixed: float = s.fixed_snr_db
            return fixed
        names = ("snr_estimate_db", "snr_db") if s.snr == "estimated" else ("snr_db",)
        if otherwise is None:
            names = names[:1]
        known = (frame.tags.get(name) for name in names)
        return next((float(value) for value in known if isinstance(value, (int, float))), otherwise)

    def _bits(self, frame: Frame) -> dict[str, Any]:
        s = self.settings
        if self._link is None:
            self._link = open_link(self, s.weights)
        count, size = frame["features"].size, tuple(frame.tags["size"])
        uses = frame.tags.get("bandwidth_uses")
        uses = int(uses * (1 - s.margin)) if isinstance(uses, int) else (count + 1) // 2
        snr_db = self._snr_db(frame, s.fixed_snr_db)
        assert snr_db is not None
        snr_db = math.floor(snr_db / _STEP_DB) * _STEP_DB if math.isfinite(snr_db) else snr_db
        key = snr_db, uses, size, s.code, s.channel, s.backoff_db
        if key not in self._made:
            if len(self._made) >= _KEPT:
                self._made.clear()
            try:
                form = designed(s.code, equivalent_snr_db(s.channel, snr_db) - s.backoff_db, uses)
                bits = self._link.budget(size, form)
            except PhyError as error:
                self.log.warning("frame %d: %s; left out", frame.seq, error)
                raise SkipFrame("bandwidth") from None
            self._made[key] = {"budget_bits": bits, "qam_format": form.settings()}
        made = self._made[key]
        budget = min(self._limits(frame, made["budget_bits"] * count)) / count
        # Bits that are decoded have no noise to be allocated for.
        return {**made, "budget_bits": budget, "most_features": count, "design_snr_db": math.inf}
