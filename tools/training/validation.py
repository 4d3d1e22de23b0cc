"""Quality while training: PSNR, and LPIPS where it is trained for, over AWGN, on pictures that are never trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from semstream.codec.codec import SemanticCodec
from semstream.codec.training import Distance


def to_tensor(batch: np.ndarray, device: str) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [0, 1] on the device."""
    return torch.from_numpy(batch).to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255


def validation(
    codec: SemanticCodec,
    pictures: Tensor,
    distance: Distance | None = None,
    snrs_db: tuple[float, ...] = (1, 4, 7, 10, 13),
) -> tuple[list[float], list[float]]:
    """Mean PSNR (dB) and, where there is a `distance`, its mean, over AWGN, unquantized, one value an SNR."""
    generator = torch.Generator(device=pictures.device).manual_seed(1)
    psnr, perceptual = [], []
    with torch.no_grad():
        for snr_db in snrs_db:
            told = torch.full((len(pictures),), float(snr_db), device=pictures.device)
            features, scale = codec.encode(pictures, told)
            power = features.square().mean(dim=(1, 2, 3), keepdim=True)
            variance = (10 ** (-snr_db / 10) * power).expand_as(features)
            noise = torch.randn(features.shape, generator=generator, device=pictures.device)
            size = (pictures.shape[-2], pictures.shape[-1])
            restored = codec.decode(features + variance.sqrt() * noise, variance, scale, size).clamp(0, 1)
            mse = (restored - pictures).square().mean(dim=(1, 2, 3))
            psnr.append(float((-10 * mse.log10()).mean()))
            if distance is not None:
                perceptual.append(float(distance(pictures, restored).mean()))
    return psnr, perceptual
