"""SwinEncoder: pictures to features, s = E(x; θ1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from blocks._errors import told_by
from blocks.ports import Features, Image
from semstream.runtime import Block, Frame, In, Out, setting


class SwinEncoder(Block):
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

    class Settings(Block.Settings):
        weights: str = setting("", description="name of shipped weights or path of a file; empty: the default weights")
        device: str = setting("cpu", description="PyTorch device")
        precision: Literal["auto", "fp32", "bf16"] = setting(
            "auto", description="of the network; auto: bf16 where the machine multiplies it fast (costs 0.003 dB)"
        )
        threads: int = setting(1, ge=1, le=256, description="CPU threads of PyTorch, shared by the blocks of a process")

    def preload(self) -> tuple[str, ...]:
        return ("semstream.codec.checkpoint", "semstream.codec.codec")

    def start(self) -> None:
        import torch

        from semstream.codec import checkpoint

        torch.set_num_threads(self.settings.threads)
        with told_by(self, "weights"):
            self._codec = checkpoint.load(self.settings.weights, self.settings.device).codec
        self._codec.precision = self.settings.precision

    def process(self, frame: Frame) -> Frame:
        import torch

        height, width = frame["image"].shape[:2]
        picture = torch.from_numpy(frame["image"].astype(np.float32) / 255).to(self.settings.device)
        with torch.inference_mode():
            features, scale = self._codec.encode(picture.permute(2, 0, 1)[None])
        return Frame({"features": features[0].cpu().numpy()}, tags={"size": [height, width], "scale": float(scale[0])})
