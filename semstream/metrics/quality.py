"""Full-reference picture quality: PSNR and MS-SSIM (LPIPS is in `semstream.metrics.perceptual`).

Pictures are (H, W, 3) arrays, both uint8 (peak 255) or both floating point (peak 1).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Weights of the five scales, Wang, Simoncelli, Bovik, "Multiscale structural similarity", Asilomar 2003.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_SIGMA = 1.5


class MetricError(ValueError):
    """Two pictures that cannot be compared."""


class MsSsimScale(NamedTuple):
    """How MS-SSIM is computed at a picture size; ``scales == 0`` where it is not defined."""

    scales: int
    window: int

    def __str__(self) -> str:
        if not self.scales:
            return "MS-SSIM is not defined below 3 pixels"
        return f"MS-SSIM with {self.scales} scale{'s' * (self.scales > 1)}, window {self.window}"


def check_pair(reference: NDArray[Any], picture: NDArray[Any]) -> float:
    """Peak value, 255 or 1, of two pictures that can be compared.

    Raises
    ------
    MetricError
        If shapes differ or are not (H, W, 3), one is empty, or the types are not both uint8 or both floating point.
    """
    if reference.shape != picture.shape or reference.ndim != 3 or reference.shape[2] != 3 or not reference.size:
        raise MetricError(
            f"pictures: expected two of one shape (H, W, 3), got {reference.shape} and {picture.shape}; "
            "compare each picture with its own reference"
        )
    if reference.dtype == picture.dtype == np.uint8:
        return 255.0
    if np.issubdtype(reference.dtype, np.floating) and np.issubdtype(picture.dtype, np.floating):
        return 1.0
    raise MetricError(
        f"pictures: expected both uint8 (0 to 255) or both floating point (0 to 1), got {reference.dtype} and "
        f"{picture.dtype}; convert one"
    )


def psnr(reference: NDArray[Any], picture: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of one picture, 10 log10(peak^2 / MSE) over all pixels and channels.

    Parameters
    ----------
    reference, picture : ndarray (H, W, 3)
        Both uint8 (peak 255) or both floating point (peak 1).

    Returns
    -------
    float
        In dB; ``inf`` for equal pictures, NaN where one holds NaN.

    Raises
    ------
    MetricError
        See `check_pair`.
    """
    peak = check_pair(reference, picture)
    difference = np.subtract(reference, picture, dtype=np.float64).reshape(-1)
    # Not by BLAS: its threads wait for each other busily, which on full cores took 12 ms for 64×64 pixels.
    squared = float(np.einsum("i,i->", difference, difference)) / difference.size
    return math.inf if squared == 0.0 else 10.0 * math.log10(peak * peak / squared)


def ms_ssim_scale(height: int, width: int) -> MsSsimScale:
    """Number of scales and window that MS-SSIM uses for a picture size.

    From 161 pixels (shorter side) it is the published 5 scales with window 11. Below, the window is the largest odd one
    that still fits at the fifth scale, at least 3, and then as many scales as that window fits into: 32 x 32 has 4
    scales with window 3, as WITT uses. Values at different settings cannot be compared: report the setting with them.

    Parameters
    ----------
    height, width : int
        In pixels.

    Returns
    -------
    MsSsimScale
    """
    side = min(height, width)
    fitting = (side - 1) // 2 ** (len(_WEIGHTS) - 1) + 1  # largest w with (w - 1) * 16 < side
    window = min(_WINDOW, max(3, fitting - (fitting + 1) % 2))
    scales = 0
    while scales < len(_WEIGHTS) and side >= window:
        scales += 1
        side = (side + 1) // 2
    return MsSsimScale(scales, window if scales else 0)


def ms_ssim(reference: NDArray[Any], picture: NDArray[Any]) -> float:
    """Multi-scale structural similarity of one picture, mean over the colour channels, by pytorch-msssim.

    Parameters
    ----------
    reference, picture : ndarray (H, W, 3)
        Both uint8 (peak 255) or both floating point (peak 1).

    Returns
    -------
    float
        0 to 1. `ms_ssim_scale` says which scales and window; where it says none (below 3 pixels) this is NaN. Fewer
        than 5 scales use the first published weights, normalised to sum 1.

    Raises
    ------
    MetricError
        See `check_pair`.
    """
    peak = check_pair(reference, picture)
    setting = ms_ssim_scale(*reference.shape[:2])
    if not setting.scales:
        return math.nan
    import torch
    from pytorch_msssim import ms_ssim as published

    with torch.inference_mode():
        first, second = (_as_batch(p) for p in (reference, picture))
        if setting.window == _WINDOW:
            return float(published(first, second, data_range=peak))
        return float(_small_ms_ssim(first, second, peak, setting))


def _as_batch(picture: NDArray[Any]) -> Any:
    import torch

    planes = np.array(picture.transpose(2, 0, 1), dtype=np.float32, order="C")  # a copy, never the caller's memory
    return torch.from_numpy(planes)[None]


def _small_ms_ssim(first: Any, second: Any, peak: float, setting: MsSsimScale) -> Any:
    """pytorch-msssim's loop at another number of scales; the library itself insists on five (16 windows a side)."""
    import torch
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim
    from torch.nn.functional import avg_pool2d

    window = _fspecial_gauss_1d(setting.window, _SIGMA).repeat(3, 1, 1, 1)
    terms = []
    for scale in range(setting.scales):
        similarity, contrast = _ssim(first, second, data_range=peak, win=window, size_average=False)
        last = scale == setting.scales - 1
        terms.append(torch.relu(similarity if last else contrast))
        if not last:
            padding = [side % 2 for side in first.shape[2:]]
            first, second = (avg_pool2d(p, kernel_size=2, padding=padding) for p in (first, second))
    weights = torch.tensor(_WEIGHTS[: setting.scales])
    if setting.scales < len(_WEIGHTS):  # all five sum to 1.0001 and are used as published
        weights = weights / weights.sum()
    return torch.prod(torch.stack(terms) ** weights.view(-1, 1, 1), dim=0).mean()
