"""One value over two uses of a channel: once as it is, and once more finely, folded.

    s ─┬──────────── × gain ────────▶ y₁ = s + n₁            coarse, where s lies
       └─ s − Δ·⌊s/Δ⌉ ─ × gain ─────▶ y₂ = s mod Δ + n₂      fine, known up to multiples of Δ

Sending a value twice as it is and combining by maximum ratio halves the noise, whatever the SNR. The remainder of s by
a width Δ of a few standard deviations of n₁ is small, so that it can be amplified before it is sent; y₁ says which
multiple of Δ it lacks. The noise left is n₂'s shrunk by the amplification, and a rare error of a whole Δ, which is why
Δ goes by the noise: the wider, the rarer. This is the shift-map code of V. Vaishampayan and S. Costa, "Curves on a
sphere, shift-map dynamics, and error control for continuous alphabet sources", IEEE Trans. Inf. Theory 49(7), 2003,
with two coordinates. Δ = ∞ is repetition, and then the combination below is that by maximum ratio.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from semstream.phy.errors import PhyError

__all__ = ["fold", "folded_noise", "unfold"]

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]
_SPAN = 3  # multiples of Δ on either side of the likeliest that are weighed
_LEAST_NOISE = np.float32(1e-12)
_RATIOS = np.geomspace(1e-5, 10, 241)
_WIDTHS = np.arange(2.0, 60.0, 0.1)


def fold(values: Float32, width: ArrayLike) -> Float32:
    """Remainders of values by the nearest multiple of a width.

    Parameters
    ----------
    values : (..., M) float32.
    width : Δ > 0 of each, broadcast to them; infinite: the value itself.

    Returns
    -------
    (..., M) float32 from -Δ/2 to Δ/2.

    Raises
    ------
    PhyError
        If a width is not positive.
    """
    step = _widths(width)
    finite = np.isfinite(step)
    safe = np.where(finite, step, np.float32(1))
    folded: Float32 = np.where(finite, values - safe * np.round(values / safe), values).astype(np.float32)
    return folded


def unfold(
    coarse: Float32, coarse_noise: Float32, fine: Float32, fine_noise: Float32, width: ArrayLike, prior: ArrayLike
) -> tuple[Float32, Float32]:
    """Values and the variance of their noise from what was received of them and of their remainders.

    The mean over the multiples of Δ that may be meant, each with its likelihood: where the noise is far wider than Δ
    (a deep fade) that is the coarse value again.

    Parameters
    ----------
    coarse, fine : (..., M) float32, not shrunk.
    coarse_noise, fine_noise : (..., M) variance > 0 of the noise on each.
    width : Δ of each, broadcast to them; infinite: repetition.
    prior : E[s²] of each, broadcast to them.

    Returns
    -------
    values, noise_variance : (..., M) float32.

    Raises
    ------
    PhyError
        If a width is not positive.
    """
    step = _widths(width)
    finite = np.isfinite(step)
    safe = np.where(finite, step, np.float32(1))
    n1, n2 = np.maximum(coarse_noise, _LEAST_NOISE), np.maximum(fine_noise, _LEAST_NOISE)
    share = n2 / (n1 + n2)  # of the coarse value in the combination
    nearest = np.where(finite, np.round((coarse - fine) / safe), 0)
    steps = np.arange(-_SPAN, _SPAN + 1, dtype=np.float32).reshape(-1, *[1] * coarse.ndim)
    meant = fine + np.where(finite, safe * (nearest + steps), 0)
    mean = share * coarse + (1 - share) * meant
    weight = -0.5 * ((coarse - meant) ** 2 / (n1 + n2) + mean**2 / np.maximum(prior, _LEAST_NOISE))
    weight = np.exp(weight - weight.max(axis=0))
    weight /= weight.sum(axis=0)
    values = (weight * mean).sum(axis=0)
    noise = share * n1 + (weight * (mean - values) ** 2).sum(axis=0)
    # Noise wider than Δ leaves nothing of the remainder, and more multiples than are weighed here.
    drowned = finite & (n1 + n2 > safe**2)
    values, noise = np.where(drowned, coarse, values), np.where(drowned, n1, noise)
    return values.astype(np.float32), noise.astype(np.float32)


def folded_noise(ratio: ArrayLike) -> tuple[Float, Float]:
    """Noise that is left after `unfold`, and the best width, for remainders that fill their width evenly.

    Of noise n on the coarse value, k standard deviations of it wide and sent at the power e, the remainder comes with
    the noise n·r, r = k²·(n/e)/12, and a whole step is missed with probability 2Q(k/√(4 + 4r)):
    n'/n = r/(1 + r) + 2Q(k/√(4 + 4r))·k². The k with the least is taken.

    Parameters
    ----------
    ratio : n/e > 0, noise of a channel use over the power that the remainder is sent with.

    Returns
    -------
    noise, width : n'/n (about 0.35 at 10 dB, 0.05 at 20 dB), and k.
    """
    table = _table()
    at = np.log(np.clip(np.asarray(ratio, np.float64), _RATIOS[0], _RATIOS[-1]))
    return np.exp(np.interp(at, np.log(_RATIOS), np.log(table[0]))), np.interp(at, np.log(_RATIOS), table[1])


@lru_cache(maxsize=1)
def _table() -> tuple[Float, Float]:
    r = _WIDTHS[:, None] ** 2 * _RATIOS / 12
    left = r / (1 + r) + 2 * ndtr(-_WIDTHS[:, None] / (2 * np.sqrt(1 + r))) * _WIDTHS[:, None] ** 2
    return left.min(axis=0), _WIDTHS[left.argmin(axis=0)]


def _widths(width: ArrayLike) -> Float32:
    step = np.asarray(width, np.float32)
    if not (step > 0).all():
        raise PhyError(f"width: expected more than 0, got {np.min(step)}")
    return step
