"""The channel as training sees it: noise after equalisation, drawn for a batch, differentiable in the features.

Equalised with perfect CSI, every channel of `semstream.phy` is additive noise whose variance is σ²/|h|² a symbol, at a
frame of unit power; two features share a symbol. Training needs no more than that, in tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semstream.quantize.dequantize import NOISE_CAP


@dataclass(frozen=True, slots=True)
class AirDraw:
    """How channels are drawn in training.

    Attributes
    ----------
    snr_db
        Bounds of the SNR (Es/N0, dB), drawn uniformly for each picture.
    clean_share, clean_snr_db
        Share of pictures sent at the higher SNR range `clean_snr_db`, so that the codec also serves an error-free link.
    rayleigh_share, rician_share, frame_share
        Shares of pictures over Rayleigh and Rician (K = 3) fading a symbol, and over Rayleigh fading a frame.
    tail_share, least_channels
        Share of pictures whose least important channels are not sent, and the least share of channels that is: between
        it and all, drawn uniformly, so that one set of weights serves all bandwidths (as SwinJSCC's, K. Yang et al.,
        IEEE Trans. Cogn. Commun. Netw. 2025).
    told_error_db
        Standard deviation of what the encoder is told of the SNR, where it is told.
    """

    snr_db: tuple[float, float] = (0.0, 20.0)
    clean_share: float = 0.1
    clean_snr_db: tuple[float, float] = (20.0, 45.0)
    rayleigh_share: float = 0.2
    rician_share: float = 0.1
    frame_share: float = 0.05
    tail_share: float = 0.0
    least_channels: float = 0.2
    told_error_db: float = 1.0


def draw_snr(batch: int, draw: AirDraw, generator: torch.Generator) -> Tensor:
    """Draw the mean SNR (Es/N0, dB) of each picture of a batch, (B,) float32."""
    uniform = torch.rand((3, batch), generator=generator, device=generator.device)

    def between(bounds: tuple[float, float], x: Tensor) -> Tensor:
        return bounds[0] + (bounds[1] - bounds[0]) * x

    clean = uniform[0] < draw.clean_share
    return torch.where(clean, between(draw.clean_snr_db, uniform[1]), between(draw.snr_db, uniform[2]))


def draw_noise_variance(
    shape: tuple[int, ...], draw: AirDraw, generator: torch.Generator, mean_snr_db: Tensor | None = None
) -> Tensor:
    """Draw the noise variance of every feature of a batch.

    Parameters
    ----------
    shape
        (B, h, w, C) of the features; h·w·C should be even.
    draw
        Shares and bounds.
    generator
        Source of the draw; its device is the result's.
    mean_snr_db
        (B,) mean SNR of each picture; drawn by `draw_snr` where it is not given.

    Returns
    -------
    (B, h, w, C) float32, at most `NOISE_CAP`.
    """
    batch = shape[0]
    count = 1
    for extent in shape[1:]:
        count *= extent
    device = generator.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=device)

    snr_db = (draw_snr(batch, draw, generator) if mean_snr_db is None else mean_snr_db)[:, None]
    symbols = (count + 1) // 2
    scattered = torch.randn((2, batch, symbols), generator=generator, device=device) / 2**0.5
    rayleigh = scattered.square().sum(0)
    k = 3.0
    rician = ((k / (k + 1)) ** 0.5 + scattered[0] / (k + 1) ** 0.5).square() + scattered[1].square() / (k + 1)
    kind = uniform(batch, 1)
    gain = torch.ones((batch, symbols), device=device)
    edge = draw.rayleigh_share
    gain = torch.where(kind < edge, rayleigh, gain)
    gain = torch.where((kind >= edge) & (kind < edge + draw.rician_share), rician, gain)
    edge += draw.rician_share
    gain = torch.where((kind >= edge) & (kind < edge + draw.frame_share), rayleigh[:, :1], gain)
    variance = (10 ** (-snr_db / 10) / gain.clamp_min(1e-6)).clamp_max(NOISE_CAP)
    return variance.repeat_interleave(2, dim=1)[:, :count].reshape(shape)


def add_noise(features: Tensor, noise_variance: Tensor, generator: torch.Generator) -> Tensor:
    """Features as the equaliser hands them on: s + √ν·N(0, 1)."""
    noise = torch.randn(features.shape, generator=generator, device=features.device)
    return features + noise_variance.sqrt() * noise


def draw_sent(batch: int, importance: Tensor, draw: AirDraw, generator: torch.Generator) -> Tensor:
    """Draw which channels of features are sent.

    Parameters
    ----------
    batch
        Pictures, B.
    importance
        (C,) of each channel; the least important are left out first.
    draw, generator
        As for `draw_noise_variance`.

    Returns
    -------
    (B, 1, 1, C) bool.
    """
    channels, device = len(importance), generator.device
    uniform = torch.rand((2, batch, 1), generator=generator, device=device)
    share = torch.where(uniform[0] < draw.tail_share, draw.least_channels + (1 - draw.least_channels) * uniform[1], 1.0)
    rank = importance.argsort(descending=True).argsort()
    return (rank < (share * channels).ceil())[:, None, None]


def send(features: Tensor, noise_variance: Tensor, sent: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is received, and the variance of its noise, where only some channels are sent, at the power of all.

    Parameters
    ----------
    features, noise_variance
        (B, h, w, C): of unit mean power, and the noise at that power.
    sent
        (B, 1, 1, C) bool, as drawn by `draw_sent`.
    generator
        Source of the noise.

    Returns
    -------
    (B, h, w, C) features with noise, 0 where not sent; and its variance, `NOISE_CAP` where not sent.
    """
    power = (features.square() * sent).mean(dim=(1, 2, 3), keepdim=True) / sent.float().mean(dim=3, keepdim=True)
    variance = (noise_variance * power).clamp_max(NOISE_CAP)
    received = torch.where(sent, add_noise(features, variance, generator), 0.0)
    return received, torch.where(sent, variance, NOISE_CAP)
