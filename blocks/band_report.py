"""BandReport: what a user of a shared band tells of each frame."""

from __future__ import annotations

import numpy as np

from blocks._errors import told_by
from blocks._network import NetworkBlock
from blocks.ports import ClassifiedFeatures, Image, Report
from semstream.phy import generator
from semstream.runtime import Frame, In, Out, SkipFrame, live, setting
from semstream.sharing import report as reports


class BandReport(NetworkBlock):
    """Tell a `BandScheduler` what this user's frame would gain by a larger share of the band.

    Input
    -----
    image : Image. classified : ClassifiedFeatures of it, with the tags ``scale`` and, better, ``snr_db``.

    Output
    ------
    report : Report; some hundred numbers a frame. ``distortion`` float32 (C, 9) of each channel of features in this
    frame at 0 to 8 bits, and ``measured`` (G, S, 3), how good the user's own decoder shows this picture with so many
    channels at so much noise.

    Usage
    -----
    ``BandReport(toggles=[100, 200])`` is there, leaves at frame 100 and comes back at frame 200; the live setting
    ``present`` does the same by hand. Who is away gets nothing, and his share goes to the others.
    """

    image = In(Image)
    classified = In(ClassifiedFeatures)
    report = Out(Report)

    class Settings(NetworkBlock.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        present: bool = live(True, description="whether the user has something to send")
        toggles: list[int] = live([], description="numbers of the frames at which it leaves or joins, in turn")
        least_uses: int = live(0, ge=0, unit="channel uses", description="asked for in each frame; 0: what is given")
        snr_db: float = live(10.0, ge=-50, le=100, unit="dB", description="Es/N0 of frames without the tag")
        measure: int = live(
            12, ge=0, unit="frames", description="measure anew after so many; 0: never, the profile alone"
        )

    def start(self) -> None:
        from semstream.codec.checkpoint import load_profile
        from semstream.sharing.curve import WidthTable

        super().start()
        with told_by(self, "weights"):
            self._profile = load_profile(self.settings.weights)[0]
            self._table = WidthTable(self._profile)
        self._measured = np.zeros((0, 0, 3), np.float32)
        self._measured_at: int | None = None

    def process(self, image: Frame, classified: Frame) -> Frame:
        s = self.settings
        features = classified["features"]
        snr_db, scale = classified.tags.get("snr_db"), classified.tags.get("scale")
        if (
            features.shape[2] != len(self._table.order)
            or not isinstance(scale, float)
            or not np.isfinite(features).all()
        ):
            self.log.warning("frame %d: features %s do not fit these weights; left out", image.seq, features.shape)
            raise SkipFrame("features")
        known = float(snr_db) if isinstance(snr_db, (int, float)) else s.snr_db
        report = reports.Report(
            distortion=self._distortion(features),
            scale=scale,
            sites=features.shape[0] * features.shape[1],
            snr_db=min(known, reports.ERROR_FREE_DB),
            measured=self._measured,
            least=s.least_uses,
        )
        present = s.present ^ bool(sum(at <= image.seq for at in s.toggles) % 2)
        if present and s.measure and self._measured_at != image.seq // s.measure:
            self._measured_at = image.seq // s.measure
            self._measured = self._measure(image, features, report)
            report = reports.with_measured(report, self._measured)
        return Frame(report.to_arrays(), tags=report.to_tags() | {"present": present})

    def _distortion(self, features: np.ndarray) -> np.ndarray:
        from semstream.quantize.quantizer import measure_distortion

        flat = features.reshape(-1, features.shape[2])
        return measure_distortion(flat, self._profile.quantizers["lloyd_max"])[:, : reports.WIDTHS].astype(np.float32)

    def _measure(self, image: Frame, features: np.ndarray, report: reports.Report) -> np.ndarray:
        from semstream.sharing.measured import measure

        random = generator(self.seed, self.name, image.seq)
        return measure(self._codec, self._table, image["image"], features, report, random)
