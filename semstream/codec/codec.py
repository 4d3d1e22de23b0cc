"""The semantic codec: pictures to features and back.

    x ─ pad ─┬─ linear analysis ─┐                                ┌─ linear synthesis ─┐
             └─ Swin analysis ───┴─ ÷ scale ─ s ~~ link ~~ ŝ, ν ─ Wiener gain ρ ─┤     ├─ × scale ─ crop ─ x̂
                                                                  └─ Swin synthesis ───┘

Features leave the encoder with unit mean power a frame; the frame's scale travels as 16 bits of side information. The
decoder is told the noise variance of *each* feature, as Rayleigh fading, unequal quantization and features that were
not sent at all make features differ in how far they can be trusted: it weighs feature j by its Wiener gain
ρ = p_j / (p_j + ν) and hands ρ to the Swin path. This replaces a network that modulates by SNR (WITT's ModNet, 6.3 M
parameters) by C more inputs of one layer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semstream.codec.config import CodecConfig
from semstream.codec.folding import NOMINAL_SNR_DB, FeatureGains, between_knots, grid_snr_db, told_snr_db, with_snr
from semstream.codec.linear import LinearCode
from semstream.codec.swin import SwinAnalysis, SwinSynthesis, pixels_to_tokens, tokens_to_pixels
from semstream.quantize.dequantize import NOISE_CAP

_LEAST_SCALE = 1e-3
PRECISIONS = ("auto", "fp32", "bf16")


class Encoded(NamedTuple):
    """What the encoder gives for a batch of pictures.

    Attributes
    ----------
    features
        (B, h, w, C) float32, unit mean power a picture (with folds: about that, over pictures).
    scale
        (B,) float32 that the features were divided by, exactly representable in float16. Of a codec with ``told_snr``
        the last four of its bits say which SNR the encoder was told (`semstream.codec.folding.told_snr_db`).
    """

    features: Tensor
    scale: Tensor


class SemanticCodec(nn.Module):
    """Swin encoder s = E(x; θ1) and decoder x̂ = D(ŝ; θ4) with a linear path beside them (the paper, Equations 1 and 6).

    Parameters
    ----------
    config
        Shape of the network.
    code
        Linear code to start from; without it (weights are loaded after) the linear path starts at zero.

    Attributes
    ----------
    precision : str
        Of the Swin path: ``fp32``, ``bf16``, or ``auto``: bf16 where the machine multiplies it fast. The linear path
        always runs in fp32, so that bf16 costs 0.007 dB at 13 dB and 0.05 dB error-free at 45 dB. Training sets its own
        precision around the codec. There is no int8: PyTorch's, with one scale for all activations of a layer, takes
        1.1 times as long as bf16 (0.45 of fp32) and costs swin-c32 0.08 / 0.11 / 0.26 dB at 1 / 7 / 13 dB; with a scale
        for each token it costs 0.02 / 0.03 / 0.06 dB, and takes as long as fp32.
    """

    precision: str = "fp32"

    feature_power: Tensor
    pixel_mean: Tensor

    def __init__(self, config: CodecConfig, code: LinearCode | None = None) -> None:
        super().__init__()
        self.config = config
        pixels = 3 * config.stride**2
        self.analysis = SwinAnalysis(config)
        self.synthesis = SwinSynthesis(config, 2 * config.channels + 1)
        self.linear_analysis = _linear(pixels, config.channels, config.lap)
        self.linear_synthesis = _linear(config.channels, pixels, config.lap)
        self.gains = FeatureGains(config.channels, config.folds) if config.told_snr else None
        self.register_buffer("feature_power", torch.ones(config.channels))
        self.register_buffer("pixel_mean", torch.full((3,), 0.45))
        if config.linear_path:
            nn.init.zeros_(self.analysis.head.weight)
            nn.init.zeros_(self.analysis.head.bias)
            nn.init.zeros_(self.synthesis.head.weight)
            nn.init.zeros_(self.synthesis.head.bias)
            for gate in (self.analysis.gate, self.synthesis.gate):
                if gate is not None:
                    nn.init.zeros_(gate.weight)
                    nn.init.zeros_(gate.bias)
        else:
            self.linear_analysis.requires_grad_(False)
            self.linear_synthesis.requires_grad_(False)
        nn.init.zeros_(self.linear_analysis.weight)
        nn.init.zeros_(self.linear_synthesis.weight)
        if code is not None and config.linear_path:
            self._start_from(code)

    def _start_from(self, code: LinearCode) -> None:
        middle = self.config.lap // 2
        with torch.no_grad():
            for layer, matrix in ((self.linear_analysis, code.analysis), (self.linear_synthesis, code.synthesis)):
                weight = layer.weight[..., middle, middle] if self.config.lap > 1 else layer.weight
                weight.copy_(torch.from_numpy(matrix))
            self.feature_power.copy_(torch.from_numpy(code.power))
            self.pixel_mean.copy_(torch.from_numpy(code.mean).reshape(-1, 3).mean(0))

    def for_inference(self, precision: str = "auto") -> Self:
        """Set the precision, and bring the weights of the Swin path to it once and for all.

        The results are those of `precision` alone, bit for bit; a small picture takes 5 to 13 % less time, since the
        weights are not rounded to bf16 again at each call. A codec with rounded weights is not to be trained or saved.

        Returns
        -------
        The codec itself.
        """
        self.precision = precision
        if self._in_bf16(self.pixel_mean.device.type):
            for part in (self.analysis, self.synthesis):
                for module in part.modules():
                    if isinstance(module, nn.Linear):
                        module.to(torch.bfloat16)
        return self

    @property
    def without_folds(self) -> Tensor:
        """(C,) noise variance that tells `decode` that no fold was received, and all else without noise."""
        variance = torch.zeros(self.config.channels, device=self.feature_power.device)
        variance[self.config.channels - len(self.config.folds) :] = NOISE_CAP
        return variance

    def feature_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(h, w, C) of the features of a picture of `height` × `width` pixels."""
        stride = self.config.stride
        return -(-height // stride), -(-width // stride), self.config.channels

    def encode(self, pictures: Tensor, snr_db: Tensor | None = None) -> Encoded:
        """Encode pictures.

        Parameters
        ----------
        pictures
            (B, 3, H, W) float in [0, 1], any H, W ≥ 1; padded by reflection to whole feature sites.
        snr_db
            (B,) Es/N0 that the features are meant for; `NOMINAL_SNR_DB` without it. Only codecs with ``told_snr`` ask.
        """
        x = pad_to_multiple(pictures, self.config.stride).permute(0, 2, 3, 1) - self.pixel_mean
        if snr_db is None:
            snr_db = torch.full((len(x),), NOMINAL_SNR_DB, device=x.device)
        knots = between_knots(grid_snr_db(snr_db.float()))
        with self._swin_precision(x):
            features, gate = self.analysis(x, knots)
        if self.config.linear_path:
            with torch.autocast(x.device.type, enabled=False):
                linear = self.linear_analysis(pixels_to_tokens(x, self.config.stride))
                features = features.float() + (linear if gate is None else linear * _opened(gate))
        features = features.float()
        # The receiver is told the scale in 16 bits, so it is rounded before it is used; gradients pass the rounding, as
        # without them training would make features ever larger in vain.
        if self.gains is None:
            exact = features.square().mean(dim=(1, 2, 3)).clamp_min(_LEAST_SCALE**2).sqrt()
            scale = exact + (exact.half().float() - exact).detach()
            return Encoded(features / scale[:, None, None, None], scale)
        gain, interval = self.gains(knots)
        exact = self.gains.scale(features, gain).clamp_min(_LEAST_SCALE)
        scale = exact + (with_snr(exact, snr_db) - exact).detach()
        return Encoded(self.gains.fold(features / scale[:, None, None, None], gain, interval), scale)

    def decode(
        self,
        features: Tensor,
        noise_variance: Tensor,
        scale: Tensor,
        size: tuple[int, int],
    ) -> Tensor:
        """Decode received features.

        Parameters
        ----------
        features
            (B, h, w, C): s + noise, not shrunk; 0 where nothing was received.
        noise_variance
            Broadcastable to `features`: variance of that noise; 1e4 where nothing was received.
        scale
            (B,) scale of each picture, from its side information.
        size
            (H, W) of the pictures, to crop the padding.

        Returns
        -------
        (B, 3, H, W) float32, not clamped.
        """
        if self.gains is None:
            reliability = (self.feature_power / (self.feature_power + noise_variance)).expand_as(features)
            z = features * reliability
        else:
            tables = self.gains(between_knots(told_snr_db(scale)))
            variance = noise_variance.expand_as(features)
            z, reliability = self.gains.estimate(features, variance, self.feature_power, *tables)
        scale = scale[:, None, None, None]
        level = scale.log().expand(*features.shape[:3], 1)
        with self._swin_precision(z):
            x, gate = self.synthesis(torch.cat((z, reliability, level), dim=-1))
        if self.config.linear_path:
            with torch.autocast(z.device.type, enabled=False):
                if gate is not None:
                    factor, addition = gate.chunk(2, dim=-1)
                    z = z * _opened(factor) + addition.float()
                x = x.float() + tokens_to_pixels(self.linear_synthesis(z), self.config.stride)
        x = x.float() * scale + self.pixel_mean
        restored: Tensor = x.permute(0, 3, 1, 2)[..., : size[0], : size[1]]
        return restored

    def follow_power(self, encoded: Encoded, rate: float = 0.01) -> None:
        """Let `feature_power` follow the features of a batch (before their gains), as `encode` gave them."""
        with torch.no_grad():
            features = encoded.features
            if self.gains is not None:
                features = features / self.gains(between_knots(told_snr_db(encoded.scale)))[0]
            self.feature_power.lerp_(features.square().mean(dim=(0, 1, 2)).clamp_min(1e-4), rate)

    def _swin_precision(self, x: Tensor) -> AbstractContextManager[object]:
        kind = x.device.type
        return torch.autocast(kind, torch.bfloat16) if self._in_bf16(kind) else nullcontext()

    def _in_bf16(self, kind: str) -> bool:
        return self.precision == "bf16" or (self.precision == "auto" and fast_bf16(kind))


class LappedLinear(nn.Conv2d):
    """The same linear map at each site, of the `lap` × `lap` sites around it; beyond the edge there is nothing."""

    def __init__(self, inputs: int, outputs: int, lap: int) -> None:
        super().__init__(inputs, outputs, lap, padding=lap // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, inputs) to (B, h, w, outputs)."""
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _linear(inputs: int, outputs: int, lap: int) -> nn.Linear | LappedLinear:
    return nn.Linear(inputs, outputs, bias=False) if lap == 1 else LappedLinear(inputs, outputs, lap)


def _opened(gate: Tensor) -> Tensor:
    """Factor of a gate: e^g near 0, between e^-2 and e^2 however far it goes."""
    return (2 * torch.tanh(gate.float() / 2)).exp()


def fast_bf16(kind: str) -> bool:
    """Whether a device ("cpu", "cuda") multiplies bf16 matrices faster than fp32: 3.5 times with AVX512-BF16."""
    if kind == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())  # PyTorch has no public name for it
    return kind == "cuda" and torch.cuda.is_bf16_supported()


def pad_to_multiple(pictures: Tensor, multiple: int) -> Tensor:
    """Pad (B, 3, H, W) at the right and bottom to multiples, by reflection, or repetition where too small for it."""
    height, width = pictures.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not bottom and not right:
        return pictures
    mode = "reflect" if bottom < height and right < width else "replicate"
    return F.pad(pictures, (0, right, 0, bottom), mode=mode)
