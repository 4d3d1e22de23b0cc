"""SwinEncoder: pictures to features, s = E(x; θ1)."""

from __future__ import annotations

import numpy as np

from blocks._network import NetworkBlock
from blocks.ports import Features, Image
from semstream.runtime import Frame, In, Out


class SwinEncoder(NetworkBlock):
    """Encode each picture by the Swin codec (the paper, Equation 1).

    Input
    -----
    image : Image, uint8 (H, W, 3), any size; padded by reflection to whole feature sites.

    Output
    ------
    features : Features, float32 (h, w, C) of unit mean power. Tags ``size`` [H, W] and ``scale``, the float16 by which
    the features were divided: 16 bits of side information.

    Usage
    -----
    ``SwinEncoder()`` uses the shipped weights; ``SwinEncoder(weights="runs/mine/codec.safetensors", device="cuda")``.
    """

    image = In(Image)
    features = Out(Features)

    def process(self, frame: Frame) -> Frame:
        import torch

        height, width = frame["image"].shape[:2]
        picture = torch.from_numpy(frame["image"].astype(np.float32) / 255).to(self.settings.device)
        with torch.inference_mode():
            features, scale = self._codec.encode(picture.permute(2, 0, 1)[None])
        return Frame({"features": features[0].cpu().numpy()}, tags={"size": [height, width], "scale": float(scale[0])})
