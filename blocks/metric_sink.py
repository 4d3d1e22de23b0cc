"""MetricSink: how good the received pictures are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from blocks.ports import Image
from semstream.runtime import Block, Frame, In, setting

MOST_SNAPSHOTS = 200


class MetricSink(Block):
    """Compare received pictures with the sent ones, frame by frame.

    Input
    -----
    reference, reconstruction : Image, uint8 (H, W, 3), joined by frame number.

    Records
    -------
    One a frame: branch, seq, snr_db, channel, scheme, quantizer, bits_per_feature, side_bits_per_feature,
    channel_uses, cbr, concealed, psnr_db, ms_ssim, lpips, height, width, latency_ms (from the source to
    here), completed_ns. All but the last two depend on the seed alone. ``concealed`` is 1 for a picture that was not
    received and is shown in place of it (a header that was lost, a frame that came too late), else 0.

    Usage
    -----
    ``MetricSink(branch="non-uniform")``. LPIPS needs the ImageNet weights of its backbone (``semstream weights
    lpips``); where there are none on this machine its column is empty, and the log says how to get them. ``snapshots``
    keeps the first picture of each SNR (of 200 at most).
    """

    reference = In(Image)
    reconstruction = In(Image)
    state = ("_seen",)

    class Settings(Block.Settings):
        branch: str = setting("", description="label of the records; empty: the block's name")
        ms_ssim: bool = setting(True, description="measure MS-SSIM")
        lpips: Literal["auto", "vgg", "alex", "squeeze", "off"] = setting(
            "auto", description="backbone of LPIPS; auto: the first of these that is on this machine"
        )
        lpips_weights: str = setting("", description="file with the backbone's weights; empty: PyTorch's cache")
        snapshots: str = setting("", description="folder for the first picture of each SNR; empty: none")
        threads: int = setting(1, ge=1, le=256, description="CPU threads of PyTorch, shared by the blocks of a process")

    def preload(self) -> tuple[str, ...]:
        return ("torch", "semstream.metrics.quality") if self.settings.ms_ssim else ()

    def start(self) -> None:
        self._lpips = None
        self._seen: set[float] = set()
        if self.settings.lpips != "off":
            from semstream.metrics.perceptual import Lpips

            lpips = Lpips(self.settings.lpips, weights_file=self.settings.lpips_weights or None)
            self._lpips = lpips if lpips.available else None
            self.log.info("%s", lpips.said)
        if self.settings.ms_ssim or self._lpips:
            import torch

            torch.set_num_threads(self.settings.threads)
        if self.settings.snapshots:
            Path(self.settings.snapshots).mkdir(parents=True, exist_ok=True)

    def process(self, reference: Frame, reconstruction: Frame) -> None:
        from semstream.metrics.quality import ms_ssim, psnr

        sent, got, tags = reference["image"], reconstruction["image"], reconstruction.tags
        if sent.shape != got.shape:
            self.log.warning("frame %d: sent %s, received %s; left out", reference.seq, sent.shape, got.shape)
            self.skip("size")
        shape = tags.get("shape")
        features = shape[0] * shape[1] * shape[2] if isinstance(shape, list) else 0
        uses = tags.get("channel_uses")
        now = time.time_ns()
        self._keep(reference, reconstruction)
        self.publish(
            {
                "branch": self.settings.branch or self.name,
                "seq": reference.seq,
                "snr_db": tags.get("snr_db"),
                "channel": tags.get("channel"),
                "scheme": tags.get("scheme"),
                "quantizer": tags.get("quantizer") if tags.get("scheme") != "none" else None,
                "bits_per_feature": _ratio(tags.get("payload_bits"), features),
                "side_bits_per_feature": _ratio(tags.get("side_bits"), features),
                "channel_uses": uses,
                "cbr": _ratio(uses, sent.size),
                "concealed": int(tags.get("concealed") is True),
                "psnr_db": psnr(sent, got),
                "ms_ssim": ms_ssim(sent, got) if self.settings.ms_ssim else None,
                "lpips": self._lpips(sent, got) if self._lpips else None,
                "height": sent.shape[0],
                "width": sent.shape[1],
                "latency_ms": (now - reference.t0_ns) / 1e6,
                "completed_ns": now,
            }
        )

    def _keep(self, reference: Frame, reconstruction: Frame) -> None:
        snr_db = reconstruction.tags.get("snr_db")
        if not self.settings.snapshots or not isinstance(snr_db, float) or snr_db in self._seen:
            return
        if len(self._seen) >= MOST_SNAPSHOTS:  # a measured SNR is another one in every frame
            return
        from PIL import Image as Pillow

        self._seen.add(snr_db)
        folder = Path(self.settings.snapshots)
        branch = self.settings.branch or self.name
        Pillow.fromarray(reference["image"]).save(folder / f"{branch}_{snr_db:g}_sent.png")
        Pillow.fromarray(reconstruction["image"]).save(folder / f"{branch}_{snr_db:g}_received.png")


def _ratio(count: Any, total: int) -> float | None:
    return count / total if isinstance(count, int) and total else None
