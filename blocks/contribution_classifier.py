"""ContributionClassifier: which features matter most for the picture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from blocks._errors import told_by
from blocks.ports import ClassifiedFeatures, Features
from semstream.codec.checkpoint import load_profile
from semstream.quantize.classes import classify
from semstream.runtime import Block, Frame, In, Out, live, setting


class ContributionClassifier(Block):
    """Sort features into m priority classes by their contribution c_i = r(s_i) / Σ r(s_j) (the paper, Equation 7).

    Input
    -----
    features : Features, float32 (h, w, C).

    Output
    ------
    classified : ClassifiedFeatures; ``contribution`` float32 (C,) and ``classes`` uint8 (C,), 0 the most important.
    With granularity ``element`` also ``contribution_map`` float32 and ``class_map`` uint8, both (h, w, C).

    Usage
    -----
    Granularity ``channel`` takes the contributions from the profile of the weights, which the receiver holds too: no
    side information, no backward pass. ``element`` measures them anew in every frame through the decoder (``gradient``,
    ``sensitivity``) or on the features (``magnitude``, ``std``); its map is sent and its bits are counted.
    """

    features = In(Features)
    classified = Out(ClassifiedFeatures)

    class Settings(Block.Settings):
        weights: str = setting("", description="the weights that the encoder uses")
        method: Literal["gradient", "sensitivity", "magnitude", "std"] = live(
            "sensitivity", description="what r(s) is: |∂L/∂s|, diag(JᵀJ), |s|, or the spread"
        )
        granularity: Literal["channel", "element"] = setting("channel", description="one class a channel, or a feature")
        classes: int = live(0, ge=0, le=255, description="number of classes m; 0: one a channel (3 with element)")
        probes: int = setting(4, ge=1, le=256, description="Hutchinson probes a frame (sensitivity, element)")

    def start(self) -> None:
        with told_by(self, "weights"):
            self._profile, _ = load_profile(self.settings.weights)
            if self.settings.granularity == "element":
                from semstream.codec import checkpoint

                self._codec = checkpoint.load(self.settings.weights).codec

    def process(self, frame: Frame) -> Frame:
        s = self.settings
        arrays = {
            "features": frame["features"],
            "contribution": np.array(self._profile.importance(s.method)),
            "classes": self._profile.classes(s.classes, s.method),
        }
        tags: dict[str, Any] = {"contribution": s.method}
        if s.granularity == "element":
            contribution = self._measure(frame)
            arrays["contribution_map"] = contribution
            arrays["class_map"] = classify(contribution.reshape(-1), s.classes or 3).reshape(contribution.shape)
        return Frame(arrays, tags=tags)

    def _measure(self, frame: Frame) -> np.ndarray:
        import torch

        from semstream.quantize import contribution as methods

        features = torch.tensor(frame["features"][None])
        scale, size = torch.tensor([frame.tags["scale"]]), tuple(frame.tags["size"])

        # With its folds, what is folded would seem to matter little, though they are of no use without it.
        def decode(s: torch.Tensor) -> torch.Tensor:
            return self._codec.decode(s, self._codec.without_folds, scale, size)

        method = self.settings.method
        if method == "magnitude":
            r = methods.magnitude(features)
        elif method == "std":
            r = methods.std(features)
        else:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + frame.seq)
            if method == "gradient":
                # The transmitter has no picture beside its features: the loss is against what it would decode itself,
                # disturbed by a step of the coarsest quantizer, since the gradient at the optimum is zero.
                disturbed = features + 0.1 * torch.randn(features.shape, generator=generator)
                with torch.no_grad():
                    target = decode(features)
                r = methods.gradient(decode, disturbed, target)
            else:
                r = methods.sensitivity(decode, features, probes=self.settings.probes, generator=generator)
        return methods.normalise(r)[0].numpy().astype(np.float32)
