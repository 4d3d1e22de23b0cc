"""One training step, its loss, the average of weights and the checkpoint to resume from.

Stage 1 trains the codec through drawn channels; stage 2 puts the quantizer in the loop, by straight-through gradients.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from semstream.codec.air import AirDraw, add_noise, draw_noise_variance, draw_sent, draw_snr, send
from semstream.codec.codec import SemanticCodec
from semstream.codec.folding import assumed_importance
from semstream.quantize.dequantize import NOISE_CAP

if TYPE_CHECKING:
    from semstream.codec.profile import Profile


def per_picture_mse(received: Tensor, pictures: Tensor) -> Tensor:
    """(B,) mean squared error of each picture."""
    return (received.float() - pictures).square().mean(dim=(1, 2, 3))


LOSSES = ("log_mse", "mse", "perceptual")

Distance = Callable[[Tensor, Tensor], Tensor]
"""Reference and picture, (B, 3, H, W) in [0, 1] each, to a perceptual distance (B,)."""


def loss_of(mse: Tensor, kind: str, distance: Tensor | None = None, share: float = 0.5) -> Tensor:
    """Loss from the error of each picture.

    ``mse`` is the mean error. ``log_mse`` is the mean of log(MSE), that is −PSNR up to a factor: pictures and SNRs of
    small error count as much as those of large error, which is what a mean of PSNRs measures. ``perceptual`` is
    (1 − share)·log(MSE) + share·log(distance): with a share of one half, a distance smaller by some percent is worth
    as many percent of squared error, whatever the scale of either. Distances far below 0.01 count less, so that
    pictures received at high SNR, which nobody can tell from the sent ones, do not drown the others.

    Raises
    ------
    ValueError
        If there is no such loss, or a perceptual one comes without distances.
    """
    if kind == "mse":
        return mse.mean()
    if kind == "log_mse":
        return (mse + 1e-6).log().mean()
    if kind == "perceptual" and distance is not None:
        return ((1 - share) * (mse + 1e-6).log() + share * (distance + 1e-2).log()).mean()
    needs = " with the distance of each picture" if kind == "perceptual" else ""
    raise ValueError(f"loss {kind!r}: expected one of {', '.join(LOSSES)}{needs}")


@dataclass(frozen=True, slots=True)
class QuantizationDraw:
    """Stage 2: the bit budgets and schemes drawn for a batch.

    Attributes
    ----------
    bits
        Mean bits a feature, one drawn a batch.
    schemes
        Allocation schemes, one drawn a batch.
    error_free_share
        Share of batches that meet quantization alone, without channel noise.
    """

    bits: tuple[float, ...] = (2, 3, 4, 6, 8)
    schemes: tuple[str, ...] = ("optimal", "optimal", "uniform")
    error_free_share: float = 0.5


class TrainingStep(nn.Module):
    """Pictures to loss: encode, quantize (stage 2), noise, decode. A module, so that DDP can wrap it.

    Parameters
    ----------
    codec
        Codec in training.
    draw
        Channels to draw.
    loss
        One of `LOSSES`.
    seed
        Seed of channels and budgets.
    profile, quantization
        The profile by which channels are left out; for stage 2 its codebooks quantize, with the budgets to draw.
    distance, perceptual_share
        For the ``perceptual`` loss.
    """

    def __init__(
        self,
        codec: SemanticCodec,
        draw: AirDraw,
        loss: str,
        seed: int,
        device: str = "cpu",
        profile: Profile | None = None,
        quantization: QuantizationDraw | None = None,
        distance: Distance | None = None,
        perceptual_share: float = 0.5,
    ) -> None:
        super().__init__()
        self.codec = codec
        self.draw = draw
        self.loss, self.distance, self.perceptual_share = loss, distance, perceptual_share
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.random = np.random.default_rng(seed)
        self.profile = profile
        self.quantization = quantization if profile is not None else None
        importance = assumed_importance(codec.config.channels, codec.config.folds)
        if profile is not None:
            importance = profile.importance()
        self.importance = torch.from_numpy(importance).to(device)
        self.codebooks: dict[int, Tensor] = {}
        if self.quantization is not None:
            from semstream.quantize.straight_through import codebook_tensors

            assert profile is not None
            self.codebooks = codebook_tensors(profile.quantizers["lloyd_max"], device)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) float in [0, 1] to a scalar loss."""
        snr_db = draw_snr(len(pictures), self.draw, self.generator)
        error = torch.randn(snr_db.shape, generator=self.generator, device=snr_db.device)
        # A transmitter knows its channel more or less.
        encoded = self.codec.encode(pictures, snr_db + self.draw.told_error_db * error)
        if self.training and self.codec.analysis.head.weight.requires_grad:  # a frozen encoder's stays
            self.codec.follow_power(encoded)
        features, scale = encoded
        variance = draw_noise_variance(tuple(features.shape), self.draw, self.generator, snr_db)
        if self.quantization is None:
            sent = draw_sent(len(features), self.importance, self.draw, self.generator)
            received, variance = send(features, variance, sent, self.generator)
        else:
            received, variance = self._through_quantizer(features, variance, self.quantization)
        restored = self.codec.decode(received, variance, scale, (pictures.shape[-2], pictures.shape[-1]))
        distance = None
        if self.distance is not None and self.loss == "perceptual":
            distance = self.distance(pictures, restored.clamp(0, 1))
        return loss_of(per_picture_mse(restored, pictures), self.loss, distance, self.perceptual_share)

    def _through_quantizer(self, features: Tensor, variance: Tensor, draw: QuantizationDraw) -> tuple[Tensor, Tensor]:
        """What a linear dequantizer gives: levels with noise over their gain, and the variance of all noise in it."""
        from semstream.quantize.straight_through import quantize_straight_through

        assert self.profile is not None
        if self.random.random() < draw.error_free_share:
            variance = torch.zeros_like(variance)
        bits = self.profile.allocate(
            str(self.random.choice(draw.schemes)),
            float(self.random.choice(draw.bits)),
            feature_count=features[0].numel(),
        )
        levels = quantize_straight_through(features, self.codebooks, bits)
        # Of a Lloyd-Max quantizer E[q·s] = E[q²] = p − D, so its gain is 1 − D/p (see semstream.quantize.dequantize).
        power, distortion = self.profile.variance, self.profile.distortion["lloyd_max"][np.arange(len(bits)), bits]
        gain = torch.from_numpy(np.maximum(1 - distortion / power, 1e-2)).to(features.device)
        quantization_noise = torch.from_numpy(distortion).to(features.device) / gain
        sent = torch.from_numpy(bits > 0).to(features.device)
        received = torch.where(sent, add_noise(levels, variance, self.generator) / gain, 0.0)
        return received, torch.where(sent, variance / gain**2 + quantization_noise, NOISE_CAP).clamp_max(NOISE_CAP)


SCHEDULES = ("cosine", "wsd")


def learning_rate(
    progress: float,
    peak: float,
    warm_up: float = 0.01,
    floor: float = 0.01,
    schedule: str = "cosine",
    decay: float = 0.2,
) -> float:
    """Learning rate at `progress`, which goes from 0 to 1, after a linear warm-up.

    ``cosine`` falls over the whole training. ``wsd`` (warm-up, stable, decay) stays at the peak until the last `decay`
    of the training and then falls as 1 − √x, so that a longer training can go on from where the decay began (A. Hägele
    et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024). Both end at
    `floor` · `peak`.

    Raises
    ------
    ValueError
        If there is no such schedule.
    """
    if progress < warm_up:
        return peak * max(progress, 1e-4 * warm_up) / warm_up
    progress = min(1.0, progress)
    if schedule == "cosine":
        fallen = 0.5 * (1 - math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
    elif schedule == "wsd":
        fallen = math.sqrt(max(0.0, (progress - 1 + decay) / decay))
    else:
        raise ValueError(f"schedule {schedule!r}: expected one of {', '.join(SCHEDULES)}")
    return peak * (1 - (1 - floor) * fallen)


class Average:
    """Exponential moving average of a codec's weights and buffers; what is shipped.

    In the first steps it follows faster, keeping (1 + n) / (10 + n) after n steps, so that it soon forgets where it
    began. No operation waits for the device.

    Parameters
    ----------
    codec
        Codec in training.
    decay
        Share of the average that one step keeps.
    """

    def __init__(self, codec: SemanticCodec, decay: float) -> None:
        self.codec = copy.deepcopy(codec).requires_grad_(False)
        self.decay, self.steps = decay, 0

    def update(self, codec: SemanticCodec) -> None:
        """Take in the codec's weights after a step."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        pairs = zip(self.codec.state_dict().values(), codec.state_dict().values(), strict=True)
        mine, theirs = zip(*((a, b) for a, b in pairs if a.is_floating_point()), strict=True)
        torch._foreach_lerp_(list(mine), list(theirs), 1 - keep)


class StateError(ValueError):
    """A checkpoint to resume from that cannot be used: says which file and the way out."""


def save_state(path: Path, state: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write a resumable checkpoint atomically: tensors only, plus `facts` as JSON."""
    partial = path.with_suffix(".partial")
    torch.save({"tensors": state, "facts": json.dumps(facts)}, partial)
    partial.replace(path)


def load_state(path: Path, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `save_state` wrote, refusing anything but tensors and plain values.

    Raises
    ------
    StateError
        If the file is cut short or is something else.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        return content["tensors"], json.loads(content["facts"])
    except Exception as error:  # a file cut short or foreign raises whatever its bytes lead to
        raise StateError(f"state {path}: cannot be read ({error}); remove it to start the training anew") from None
