"""Channel uses that are left over: which features are sent twice, and how.

    D real dimensions a site = K channels of features, each sent once + D − K copies of the most important of them

A copy is the remainder by a width, amplified (`semstream.phy.shift_map`), or the value again where the SNR is too low
for that. Which channels have one, its width and its power follow from the profile that both ends hold. So a codec of C
channels fills up to 2·C dimensions; and one without folds of its own (`semstream.codec.folding`, which the network is
trained with) fills fewer better than with each feature once: the weakest channels give way to copies of the strongest.

With `swin-c32` over 48 dimensions (CBR 1/2) copies won over the same channel uses filled with repetitions alone, by
what `python tools/evaluate.py --images cifar10_subset.npz --limit 100 --snr 4 10 13 --scheme none --cbr 1/2 --copies
repeated folded` printed: nothing at 4 dB, 0.8 dB at 10 dB, 1.4 dB at 13 dB. Over ``--channel rayleigh``, where the
two are hardly ever in a fade together, repetitions won: 0 / 1.7 / 1.7 dB over folded copies, which need both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from semstream.codec.profile import Profile
from semstream.phy.shift_map import fold, folded_noise, unfold

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]
KINDS = ("repeated", "folded")
"""What copies may be; ``folded`` where asked for by name also means repeated where that is better."""
_POWERS = np.geomspace(0.03, 6.0, 48)
_TURNS = 12
_UNSENT = 2.0
_WORTH = 0.85
_SNR_DB = (-10.0, 40.0)
_STEP_DB = 0.25


class CopiesError(ValueError):
    """Copies that cannot be made or cannot be true: says what was expected and what came."""


@dataclass(frozen=True)
class Copies:
    """Which of the channels that are sent have a copy.

    Attributes
    ----------
    channels
        (M,) index of each in the features' C channels, ascending, no one twice.
    width
        (M,) Δ in feature units; infinite for a plain repetition.
    gain
        (M,) what the remainder is multiplied by, in units of the features' own amplitude.
    """

    channels: NDArray[np.int64]
    width: Float32
    gain: Float32

    def __len__(self) -> int:
        return len(self.channels)

    def to_tag(self) -> list[list[float]]:
        """Plain values for a frame's header: [channel, width, gain] of each."""
        return [[int(c), float(d), float(g)] for c, d, g in zip(self.channels, self.width, self.gain, strict=True)]

    @classmethod
    def from_tag(cls, tag: Any, channels: int) -> Self:
        """Read and check what `to_tag` wrote.

        Raises
        ------
        CopiesError
            If it is not that.
        """

        def good(entry: Any) -> bool:
            return (
                isinstance(entry, list)
                and len(entry) == 3
                and isinstance(entry[0], int)
                and not isinstance(entry[0], bool)
                and 0 <= entry[0] < channels
                and isinstance(entry[1], float)
                and entry[1] > 0
                and isinstance(entry[2], float)
                and 0 < entry[2] < 1e6
            )

        if not isinstance(tag, list) or not all(map(good, tag)):
            raise CopiesError(f"copies: expected [channel, width, gain] of each, got {tag!r:.80}")
        places = [entry[0] for entry in tag]
        if places != sorted(set(places)):
            raise CopiesError(f"copies: expected ascending channels, no one twice, got {places!r:.80}")
        return cls(
            np.array(places, np.int64), np.array([e[1] for e in tag], np.float32),
            np.array([e[2] for e in tag], np.float32),
        )  # fmt: skip


def put_copies(values: Float32, sent: NDArray[np.bool_], copies: Copies) -> Float32:
    """Values with their copies behind them.

    Parameters
    ----------
    values
        (N,) of the channels that are sent, site after site, N = sites·K.
    sent
        (C,) which channels these are.
    copies
        Of some of them.

    Returns
    -------
    (sites·(K + M),) float32: the values, then the copies, site after site.

    Raises
    ------
    CopiesError
        If a channel that has a copy is not sent.
    """
    places = _places(sent, copies)
    own = values.reshape(-1, int(sent.sum()))[:, places]
    return np.concatenate((values, (fold(own, copies.width) * copies.gain).reshape(-1)))


def take_copies(
    values: Float32, noise_variance: Float32, sent: NDArray[np.bool_], copies: Copies, profile: Profile
) -> tuple[Float32, Float32]:
    """Values and their noise from what was received of them and of their copies: inverse of `put_copies`.

    Parameters
    ----------
    values, noise_variance
        (sites·(K + M),) equalised, in feature units.
    sent, copies
        As sent.
    profile
        Of the weights.

    Returns
    -------
    (sites·K,) float32 values and noise variance.

    Raises
    ------
    CopiesError
        If they are not as many as the copies say.
    """
    places, count = _places(sent, copies), int(sent.sum())
    sites, rest = divmod(values.size, count + len(copies))
    if rest:
        raise CopiesError(f"{values.size} values are not {count} channels and {len(copies)} copies a site")
    own, copied = values[: sites * count].reshape(sites, count), values[sites * count :].reshape(sites, -1)
    noise = noise_variance[: sites * count].reshape(sites, count).copy()
    own, copied_noise = own.copy(), noise_variance[sites * count :].reshape(sites, -1)
    own[:, places], noise[:, places] = unfold(
        own[:, places], noise[:, places], copied / copies.gain, copied_noise / copies.gain**2, copies.width,
        profile.variance[copies.channels],
    )  # fmt: skip
    return own.reshape(-1), noise.reshape(-1)


def _places(sent: NDArray[np.bool_], copies: Copies) -> NDArray[np.int64]:
    if not sent[copies.channels].all():
        raise CopiesError("copies: a channel that has one is not sent")
    return (np.cumsum(sent) - 1)[copies.channels]


@dataclass(frozen=True)
class _Planned:
    copies: Copies
    left: float  # expected distortion, weighted by sensitivity


def plan_copies(
    profile: Profile, sent: NDArray[np.bool_], dimensions: int, noise_variance: float, kinds: Sequence[str] = KINDS
) -> Copies:
    """The copies of least expected distortion.

    Parameters
    ----------
    profile
        Of the weights.
    sent
        (C,) channels that are sent, K of them.
    dimensions
        Real dimensions a site, K to 2K.
    noise_variance
        σ² of a channel use of unit power, > 0.
    kinds
        ``repeated``, ``folded``, or both: the better one of each channel.

    Raises
    ------
    CopiesError
        If there are fewer dimensions than channels, or more than two each.

    Notes
    -----
    A feature of power p under the noise n leaves w·p·n/(p + n) after the decoder's Wiener gain; a copy sent at the
    power e divides n by 1 + e/p (repeated) or as `folded_noise` says. The mean power of a dimension is held, so that
    n = σ²·(Σp + Σe)/D: each e also costs all others, which Lagrange's λ = (σ²/D)·∂(Σ w·p·n/(p + n))/∂n is the price
    of. Power and noise are found in turn; the best of all turns is kept.
    """
    return _planned(profile, sent, dimensions, noise_variance, kinds).copies


def _planned(
    profile: Profile, sent: NDArray[np.bool_], dimensions: int, noise_variance: float, kinds: Sequence[str]
) -> _Planned:
    count = int(sent.sum())
    number = dimensions - count
    if not 0 <= number <= count or not count:
        raise CopiesError(
            f"dimensions: {count} channels are sent, which take {count} to {2 * count} dimensions a site, "
            f"got {dimensions}"
        )
    if not 0 < noise_variance < np.inf or not set(kinds) <= set(KINDS) or not kinds:
        raise CopiesError(f"copies: expected a noise variance > 0 and some of {KINDS}, got {noise_variance}, {kinds}")
    index = np.flatnonzero(sent)
    power = profile.variance[index].astype(np.float64)
    weight = profile.contribution["sensitivity"][index].astype(np.float64)
    least, best = np.inf, None
    chosen, at = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for _ in range(_TURNS):
        noise = noise_variance * (power.sum() + _POWERS[at].sum()) / dimensions
        factor, width = _noise_left(noise, power, kinds)
        alone = np.ones(count)
        alone[chosen] = factor[chosen, at]
        received = noise * alone
        left = float((weight * power * received / (power + received)).sum())
        if chosen.size == number and left < least:
            least, best = left, _copies(index[chosen], width[chosen, at] * noise**0.5, power[chosen], _POWERS[at])
        price = noise_variance / dimensions * (weight * power**2 * alone / (power + received) ** 2).sum()
        p = power[:, None]
        worth = weight[:, None] * p * (noise / (p + noise) - noise * factor / (p + noise * factor)) - price * _POWERS
        top = worth.argmax(axis=1)
        chosen = np.argsort(-worth.max(axis=1), kind="stable")[:number]
        at = top[chosen]
    assert best is not None
    return _Planned(best, least)


def _noise_left(noise: float, power: Float, kinds: Sequence[str]) -> tuple[Float, Float]:
    """(K, powers) share of the noise that a copy leaves, and its width in standard deviations of the noise."""
    folded, width = folded_noise(noise / _POWERS)
    repeated = 1 / (1 + _POWERS / power[:, None])
    if "folded" not in kinds:
        return repeated, np.full_like(repeated, np.inf)
    better = folded < repeated if "repeated" in kinds else np.ones_like(repeated, bool)
    return np.where(better, folded, repeated), np.where(better, width, np.inf)


def _copies(channels: NDArray[np.int64], width: Float, power: Float, sent_with: Float) -> Copies:
    order = np.argsort(channels)
    # A remainder lies evenly over its width, unless the feature is smaller.
    carried = np.minimum(power, width**2 / 12)
    gain = np.sqrt(sent_with / np.maximum(carried, 1e-12))
    return Copies(channels[order], width[order].astype(np.float32), gain[order].astype(np.float32))


def channels_to_send(
    profile: Profile, dimensions: int, noise_variance: float, kinds: Sequence[str] = KINDS
) -> NDArray[np.bool_]:
    """The channels to send over so many dimensions a site, each once or with a copy.

    Parameters
    ----------
    profile, dimensions, noise_variance, kinds
        As for `plan_copies`; `dimensions` from 1 to 2·C.

    Returns
    -------
    (C,) bool. All that fit, unless copies in place of the weakest leave at least 15 % less expected distortion.

    Raises
    ------
    CopiesError
        If there are no dimensions, or more than two a channel.

    Notes
    -----
    Sensitivity says what a small error costs. A channel that is not sent is a large one, and cost about twice that; the
    strongest channels cost less, as the decoder also makes them out from their neighbours. Hence the factor on what is
    not sent and the margin, without which 0.1 to 0.7 dB were lost from 1 to 4 dB. Measured on a codec without folds.
    """
    lost = profile.weighted_variance
    order = np.argsort(-profile.worth, kind="stable")
    most = min(dimensions, profile.channels)
    if not 1 <= dimensions <= 2 * profile.channels:
        raise CopiesError(f"dimensions: expected 1 to {2 * profile.channels} a site, got {dimensions}")

    def left(count: int) -> float:
        sent = np.isin(np.arange(profile.channels), order[:count])
        found = _planned(profile, sent, dimensions, noise_variance, kinds).left
        return found + _UNSENT * float(lost[~sent].sum())

    best, least = most, _WORTH * left(most)
    for count in range((dimensions + 1) // 2, most):
        if (found := left(count)) < least:
            best, least = count, found
    return np.isin(np.arange(profile.channels), order[:best])


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds that a setting of this name allows: ``repeated`` that alone, ``folded`` the better one of each channel.

    Raises
    ------
    CopiesError
        If it is neither.
    """
    if name not in KINDS:
        raise CopiesError(f"copies: expected one of {', '.join(KINDS)}, got {name!r}")
    return KINDS if name == "folded" else ("repeated",)


class CopyPlans:
    """Plans for one profile, kept from frame to frame; SNRs are rounded down to steps of 0.25 dB, from −10 to 40 dB."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._copies = lru_cache(maxsize=256)(self._plan)
        self._sent = lru_cache(maxsize=256)(self._choose)

    def copies(self, sent: NDArray[np.bool_], dimensions: int, snr_db: float, kinds: Sequence[str] = KINDS) -> Copies:
        """`plan_copies` at an SNR; dimensions beyond two a channel stay empty."""
        return self._copies(sent.tobytes(), min(dimensions, 2 * int(sent.sum())), _noise(snr_db), tuple(kinds))

    def sent(self, dimensions: int, snr_db: float, kinds: Sequence[str] = KINDS) -> NDArray[np.bool_]:
        """`channels_to_send` at an SNR."""
        return self._sent(dimensions, _noise(snr_db), tuple(kinds))

    def _plan(self, sent: bytes, dimensions: int, noise: float, kinds: tuple[str, ...]) -> Copies:
        return plan_copies(self._profile, np.frombuffer(sent, bool), dimensions, noise, kinds)

    def _choose(self, dimensions: int, noise: float, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
        return channels_to_send(self._profile, dimensions, noise, kinds)


def _noise(snr_db: float) -> float:
    bounded = min(max(snr_db, _SNR_DB[0]), _SNR_DB[1])
    return float(10 ** (-math.floor(bounded / _STEP_DB) * _STEP_DB / 10))
