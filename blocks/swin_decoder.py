"""SwinDecoder: received features to pictures, x̂ = D(ŝ; θ4)."""

from __future__ import annotations

import numpy as np

from blocks._network import NetworkBlock
from blocks.ports import Features, Image
from semstream.runtime import Frame, In, Out, SkipFrame, setting


class SwinDecoder(NetworkBlock):
    """Decode each frame's features to a picture (the paper, Equation 6).

    Input
    -----
    features : Features, float32 (h, w, C), with ``noise_variance`` of each feature where a channel was between; tags
    ``size`` [H, W] and ``scale``. Features that do not belong to these weights are skipped, counted as ``features``.

    Output
    ------
    image : Image, uint8 (H, W, 3), rounded and clipped to 8 bits.
    """

    features = In(Features)
    image = Out(Image)

    class Settings(NetworkBlock.Settings):
        weights: str = setting("", description="the weights that the encoder uses")

    def process(self, frame: Frame) -> Frame:
        import torch

        features = frame["features"]
        size, scale = frame.tags.get("size"), frame.tags.get("scale")
        fits = (
            isinstance(size, list)
            and len(size) == 2
            and all(isinstance(n, int) and n > 0 for n in size)
            and isinstance(scale, float)
            and features.shape == self._codec.feature_shape(size[0], size[1])
        )
        if not fits:
            self.log.warning(
                "frame %d: features %s do not fit size %s, scale %s", frame.seq, features.shape, size, scale
            )
            raise SkipFrame("features")
        assert isinstance(size, list)
        assert isinstance(scale, float)
        variance = frame["noise_variance"] if "noise_variance" in frame else np.zeros_like(features)
        with torch.inference_mode():
            picture = self._codec.decode(
                torch.tensor(features[None], device=self.settings.device),
                torch.tensor(variance[None], device=self.settings.device),
                torch.tensor([scale], device=self.settings.device),
                (size[0], size[1]),
            )[0]
            image = picture.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        return Frame({"image": np.ascontiguousarray(image)})
