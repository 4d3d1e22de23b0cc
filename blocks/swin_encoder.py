"""SwinEncoder: pictures to features, s = E(x; θ1)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from blocks._network import NetworkBlock
from blocks.ports import Features, Image
from semstream.runtime import Frame, In, Out, live


class SwinEncoder(NetworkBlock):
    """Encode each picture by the Swin codec (the paper, Equation 1).

    Input
    -----
    image : Image, uint8 (H, W, 3), any size; padded by reflection to whole feature sites.

    Output
    ------
    features : Features, float32 (h, w, C) of unit mean power. Tags ``size`` [H, W] and ``scale``, the float16 by which
    the features were divided: 16 bits of side information. Of weights that are told the SNR the last four of these say
    which one it was, so that the decoder needs no more.

    Usage
    -----
    ``SwinEncoder()`` uses the shipped weights; ``SwinEncoder(weights="runs/mine/codec.safetensors", device="cuda")``.
    """

    image = In(Image)
    features = Out(Features)

    class Settings(NetworkBlock.Settings):
        snr: Literal["given", "estimated", "fixed"] = live(
            "given", description="SNR that features are made for: the tag snr_db, or snr_estimate_db, or fixed_snr_db"
        )
        fixed_snr_db: float = live(10.0, ge=-20, unit="dB", description="SNR where it is fixed, or no tag tells")

    def process(self, frame: Frame) -> Frame:
        import torch

        height, width = frame["image"].shape[:2]
        picture = torch.from_numpy(frame["image"].astype(np.float32) / 255).to(self.settings.device)
        with torch.inference_mode():
            told = torch.tensor([self._snr_db(frame)], device=self.settings.device)
            features, scale = self._codec.encode(picture.permute(2, 0, 1)[None], told)
        return Frame({"features": features[0].cpu().numpy()}, tags={"size": [height, width], "scale": float(scale[0])})

    def _snr_db(self, frame: Frame) -> float:
        s = self.settings
        name = {"given": "snr_db", "estimated": "snr_estimate_db"}.get(s.snr)
        told = frame.tags.get(name) if name else None
        return float(told) if isinstance(told, (int, float)) and not math.isnan(told) else float(s.fixed_snr_db)
