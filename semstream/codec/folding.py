"""Folded features: the most important ones are sent again, finer, in the place of the least important ones.

Sent as they are, features of unequal importance waste the channel: what counts is √λ, summed, where a good code would
pay the geometric mean of λ (for features whose importance spreads by 10 dB some 5 dB more). A channel use is better
spent on a second look at the strongest feature than on the weakest one. The second look is the same value under a
magnifying glass that folds back on itself, a triangle wave (continuous, so that the network learns through it):

    t = A · tri(s / D),    slope A / D, corners at odd multiples of D

The first look says on which slope the value lies, the second where on it: the classic analog bandwidth expansion
(C. Shannon, "Communication in the presence of noise", 1949; V. Vaishampayan and S. Costa, "Curves on a sphere,
shift-map dynamics, and error control for continuous alphabet sources", 2003). The receiver takes the mean over all
slopes by their probability, in closed form, so that a feature whose slope is in doubt falls back to the first look.
A third look, with shorter slopes, tells from the second as the second from the first.

By how many dB a Laplacian value comes back closer for being sent over two uses, and over three, at the power of one:
0.7 and 1.3 where that power is 10 dB above the noise, 2.4 and 4.2 at 16 dB, 4.2 and 6.8 at 22 dB (held by
`tests/codec/test_folding.py`). So the more a channel stands out, the more of its uses pay. What came of it stands in
the cards of the weights.

`semstream.codec.copies` does the like behind a codec, for channel uses that are left over.

Gains and intervals follow the SNR that the encoder is told (and that the decoder is told of): at low SNR the
strong features take the power, and folds open.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semstream.codec.told_snr import SNR_BITS, SNR_STEP_DB

SLOPES = 7
_LEAST_VARIANCE = 1e-6
_FAR = 40.0


def triangle(x: Tensor) -> Tensor:
    """Triangle wave of period 4 with tri(x) = x for |x| ≤ 1."""
    return (torch.remainder(x - 1, 4) - 2).abs() - 1


class Estimate(NamedTuple):
    """Posterior mean and variance of features."""

    mean: Tensor
    variance: Tensor


def unfold(first: Estimate, received: Tensor, noise_variance: Tensor, amplitude: Tensor, interval: Tensor) -> Estimate:
    """Mean and variance of s, given a Gaussian estimate of it and its fold in noise.

    Parameters
    ----------
    first
        Estimate of s before, its variance positive.
    received, noise_variance
        t + noise, t = amplitude · tri(s / interval), and the variance of the noise.
    amplitude, interval
        Of the fold; all broadcast against each other.

    Notes
    -----
    On slope k, which runs from (2k − 1)·D to (2k + 1)·D, s is Gaussian around a product of two Gaussians, truncated to
    it; its weight is how well both agree, times what the slope holds of it. The two outermost of the `SLOPES` nearest
    slopes go on for ever.
    """
    c, v = first.mean[..., None], first.variance[..., None].clamp_min(_LEAST_VARIANCE)
    d, slope = interval[..., None], (amplitude / interval)[..., None]
    w = (noise_variance[..., None] / slope.square()).clamp_min(_LEAST_VARIANCE)
    reach = SLOPES // 2
    offset = torch.arange(-reach, reach + 1, device=c.device, dtype=c.dtype)
    k = (c.detach() / (2 * d)).round() + offset
    rising = 1 - 2 * torch.remainder(k, 2)
    middle = 2 * d * k
    # Beyond the amplitude no slope fits; a noise far beyond is a wrong variance, and must not decide between slopes.
    limit = amplitude[..., None] + 2 * noise_variance[..., None].sqrt()
    there = middle + rising * torch.maximum(torch.minimum(received[..., None], limit), -limit) / slope
    mean = (c * w + there * v) / (v + w) - c
    spread = (v * w / (v + w)).sqrt()
    # (2, …, slopes): where each slope begins and ends, in standard deviations from its own mean.
    ends = torch.stack((middle - d, middle + d)).sub_(c).sub(mean).div(spread).clamp(-_FAR, _FAR)
    ends = torch.where(_outermost(ends), _FAR * offset.sign(), ends)
    agree = (c - there).square() / (-2 * (v + w))
    weight = (agree - agree.amax(-1, keepdim=True)).exp()
    below = torch.special.ndtr(ends)
    density = torch.exp(ends.square() * -0.5) * (spread * (2 * torch.pi) ** -0.5)
    held = below[1] - below[0]
    density_low, density_high = density.unbind()
    first_moment = mean * held + density_low - density_high
    second_moment = (mean.square() + spread.square()) * held
    moved = density * torch.addcmul(2 * mean, spread, ends)
    second_moment = second_moment + moved[0] - moved[1]
    total = (weight * held).sum(-1) + 1e-12
    shift = (weight * first_moment).sum(-1) / total
    variance = (weight * second_moment).sum(-1) / total - shift.square()
    return Estimate(first.mean + shift, torch.maximum(variance, 1e-3 * first.variance.clamp_min(_LEAST_VARIANCE)))


def _outermost(ends: Tensor) -> Tensor:
    """Where the first slope begins and the last one ends."""
    outer = torch.zeros((2, SLOPES), dtype=torch.bool, device=ends.device)
    outer[0, 0] = outer[1, -1] = True
    return outer.reshape(2, *(1,) * (ends.ndim - 2), SLOPES)


def assumed_importance(channels: int, folds: tuple[int, ...]) -> NDArray[np.float32]:
    """(C,) importance where no profile tells: it falls with the number of a channel, as in the linear path.

    A fold of the strongest channel is taken to be worth as much as the channel after three eighths of all, of another
    one as the channel after three quarters: an estimate, from the sensitivities of `swin-c32` at 10 dB.
    """
    plain = channels - len(folds)
    place = np.arange(channels, dtype=np.float32)
    for i, base in enumerate(folds):
        place[plain + i] = channels * (0.75 if base else 0.375) + 0.01 * i + 0.5
    return -place


KNOTS_DB = (0.0, 4.0, 8.0, 12.0, 16.0, 20.0)
NOMINAL_SNR_DB = 10.0
"""What an encoder assumes that is told nothing."""


def _snr_code(snr_db: Tensor) -> Tensor:
    return (snr_db / SNR_STEP_DB).round().clamp(0, 2**SNR_BITS - 1)


def grid_snr_db(snr_db: Tensor) -> Tensor:
    """The nearest SNR that a scale can tell: 0, 1.5, … 22.5 dB."""
    return _snr_code(snr_db) * SNR_STEP_DB


def with_snr(scale: Tensor, snr_db: Tensor) -> Tensor:
    """(B,) scales rounded to float16 whose last four bits say the SNR; six bits of the mantissa are left: 0.8 %.

    The receiver needs both with every frame, and so it costs no bit more, and no field in any header.
    """
    bits, code = scale.half().view(torch.int16).int(), _snr_code(snr_db).int()
    rounded = (bits - code + 2 ** (SNR_BITS - 1)) & -(2**SNR_BITS)
    return (rounded | code).to(torch.int16).view(torch.float16).float()


def told_snr_db(scale: Tensor) -> Tensor:
    """(B,) SNR in dB that `with_snr` put into scales."""
    return (scale.half().view(torch.int16).int() & (2**SNR_BITS - 1)).float() * SNR_STEP_DB


def between_knots(snr_db: Tensor) -> Tensor:
    """(B,) SNR in dB to its weights (B, knots) on `KNOTS_DB`: two neighbours share 1; constant beyond the ends."""
    at = ((snr_db - KNOTS_DB[0]) / (KNOTS_DB[1] - KNOTS_DB[0])).clamp(0, len(KNOTS_DB) - 1)
    knots = torch.arange(len(KNOTS_DB), device=at.device)
    return (1 - (at[:, None] - knots).abs()).clamp_min(0)


class FeatureGains(nn.Module):
    """Gain of each feature and intervals of the folds, for the SNR that the encoder is told.

    Tables of logarithms at `KNOTS_DB`, linear between them, constant beyond.

    Parameters
    ----------
    channels
        Features a site, C.
    folds
        Channels that the last ``len(folds)`` channels fold, in the order in which they are unfolded.
    """

    def __init__(self, channels: int, folds: tuple[int, ...]) -> None:
        super().__init__()
        self.folds = folds
        gain = torch.zeros(len(KNOTS_DB), channels)
        interval = torch.zeros(len(KNOTS_DB), len(folds))
        sigma = 10 ** (-torch.tensor(KNOTS_DB) / 20)
        levels = [folds[:i].count(base) for i, base in enumerate(folds)]
        for i, level in enumerate(levels):
            interval[:, i] = (2.3 * sigma / 2**level).clamp_min(0.1).log()
            gain[:, channels - len(folds) + i] = (1.4 * (sigma / 0.4).sqrt()).log()
        # Those of one level are unfolded together: the bases, the channels that fold them, and the folds' numbers.
        self._levels: list[tuple[list[int], list[int], list[int]]] = []
        for level in range(max(levels, default=-1) + 1):
            numbers = [i for i, other in enumerate(levels) if other == level]
            self._levels.append(([folds[i] for i in numbers], [channels - len(folds) + i for i in numbers], numbers))
        self.gain_table = nn.Parameter(gain)
        self.interval_table = nn.Parameter(interval)

    def forward(self, hat: Tensor) -> tuple[Tensor, Tensor]:
        """(B, knots) as `between_knots` gives to gains (B, 1, 1, C) and intervals (B, 1, 1, folds)."""
        with torch.autocast(hat.device.type, enabled=False):
            gain, interval = (hat @ table.float() for table in (self.gain_table, self.interval_table))
        return gain.exp()[:, None, None], interval.exp()[:, None, None]

    def scale(self, features: Tensor, gain: Tensor) -> Tensor:
        """(B,) scale that brings (B, h, w, C) features times their gains to unit mean power, a fold counted as A²/3."""
        plain = features.shape[-1] - len(self.folds)
        folded = gain[..., plain:].square().sum(dim=(1, 2, 3)) / 3
        power = (features * gain)[..., :plain].square().sum(-1).mean(dim=(1, 2))
        return (power / (features.shape[-1] - folded).clamp_min(1.0)).sqrt()

    def fold(self, features: Tensor, gain: Tensor, interval: Tensor) -> Tensor:
        """Scaled features to what is sent: times the gains, the last ones replaced by folds."""
        if not self.folds:
            return features * gain
        plain = features.shape[-1] - len(self.folds)
        sent = features[..., :plain] * gain[..., :plain]
        return torch.cat((sent, gain[..., plain:] * triangle(sent[..., list(self.folds)] / interval)), dim=-1)

    def estimate(
        self, received: Tensor, noise_variance: Tensor, power: Tensor, gain: Tensor, interval: Tensor
    ) -> Estimate:
        """Features before gains and folds, and how far each can be trusted (its Wiener gain), from what was received.

        Parameters
        ----------
        received, noise_variance
            (B, h, w, C).
        power
            (C,) mean power of the features before their gains.
        """
        prior = power * gain.square()
        reliability = prior / (prior + noise_variance)
        # Written to below, which gradients of these must not see.
        mean, reliability = received * reliability, reliability.clone()
        for bases, channels, numbers in self._levels:
            p = prior[..., bases]
            found = unfold(
                Estimate(mean[..., bases], p * (1 - reliability[..., bases])),
                received[..., channels],
                noise_variance[..., channels],
                gain[..., channels],
                interval[..., numbers],
            )
            mean[..., bases] = found.mean
            reliability[..., bases] = (1 - found.variance / p).clamp(0, 1)
        return Estimate(mean / gain, reliability)
