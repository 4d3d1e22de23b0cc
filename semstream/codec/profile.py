"""What is known of a codec's features before any frame is sent, stored with its weights, so that both ends know it.

A profile holds, for each of the C channels, its contribution to the picture by each method, its spread, the codebooks
fitted on a calibration set and the distortion measured at each number of bits. With it the allocation of bits over
channels needs no side information and no backward pass a frame. `tools/profile.py` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from semstream.codec.least_error import Allocated, LeastError
from semstream.quantize.allocation import allocate, am_gm_db
from semstream.quantize.classes import classify
from semstream.quantize.errors import AllocationError, QuantizeError
from semstream.quantize.fixed_point import FixedPoint
from semstream.quantize.lloyd_max import Codebooks
from semstream.quantize.quantizer import LloydMax

CONTRIBUTIONS = ("gradient", "sensitivity", "magnitude", "std")
QUANTIZERS = ("lloyd_max", "fixed_point")
MAX_BITS = 12
NOISE_KNOTS_DB = (3.0, 9.0, 15.0, 21.0, 27.0)
SENSITIVITY_NOISE_DB = 15.0
"""Features above their noise where sensitivity is measured, of a codec with folds: about what 3 bits leave."""
_ROUNDS, _NEAR_DB = 3, 1.5

Float32 = NDArray[np.float32]


class ProfileError(ValueError):
    """A profile that cannot be used: says which array, what was expected and what came."""


@dataclass(frozen=True)
class Profile:
    """Statistics of the features of one codec on a calibration set.

    Attributes
    ----------
    contribution
        Method to (C,) float32 that sums to 1: mean over frames of the contribution factor c_i, summed over a channel's
        features (the paper, Equation 7). `importance` is what to rank channels by.
    variance, maximum
        (C,) float32 mean square and largest magnitude of each channel.
    codebooks
        Lloyd-Max codebooks of 1 to 8 bits with their cell statistics.
    distortion
        Quantizer to (C, 13) float32: mean squared error of a feature at 0 to 12 bits.
    unfolded
        (C,) float32 sensitivity on the same scale where no fold is received, 0 for folds; of codecs with folds only.
    under_noise
        (K, C) float32 sensitivity on the same scale where features are `NOISE_KNOTS_DB` above their noise; of codecs
        with folds only. What is neither folded nor a fold has that of `SENSITIVITY_NOISE_DB` throughout.
    sending_order
        (C,) float32 channels, the one to send first in front, as `semstream.codec.sending_order` finds it; older
        weights have none.
    """

    contribution: Mapping[str, Float32]
    variance: Float32
    maximum: Float32
    codebooks: Codebooks
    distortion: Mapping[str, Float32]
    unfolded: Float32 | None = None
    under_noise: Float32 | None = None
    sending_order: Float32 | None = None

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return len(self.variance)

    @cached_property
    def quantizers(self) -> dict[str, LloydMax | FixedPoint]:
        """The quantizer of each name in `QUANTIZERS`."""
        return {"lloyd_max": LloydMax(self.codebooks), "fixed_point": FixedPoint(self.maximum)}

    @property
    def am_gm_db(self) -> float:
        """Most that unequal bits can win over equal bits, in dB: arithmetic over geometric mean of w_j·σ_j².

        Of a codec with folds: over the features that are not folds, as if no fold were sent.
        """
        weight = self.sensitivity_alone
        return am_gm_db((weight * self.variance)[weight > 0])

    @property
    def sensitivity_alone(self) -> Float32:
        """(C,) sensitivity where no fold is received, 0 for folds: what counts without noise."""
        return self.contribution["sensitivity"] if self.unfolded is None else self.unfolded

    def importance(self, contribution: str = "sensitivity") -> Float32:
        """(C,) contribution of each channel; of one that is folded, as if its folds were not received.

        With them it would seem to matter little, though they are of no use without it.
        """
        found = self.contribution[contribution]
        if contribution == "sensitivity" and self.unfolded is not None:
            found = np.maximum(found, self.unfolded)
        return found

    @cached_property
    def weighted_variance(self) -> NDArray[np.float64]:
        """(C,) w_j·σ_j², the `importance` of a channel times its power: what it is reckoned to cost not to send it."""
        return self.importance().astype(np.float64) * self.variance

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """(C,) what to rank channels by where not all are sent: the measured order, or else `weighted_variance`."""
        if self.sending_order is None:
            return self.weighted_variance
        worth = np.empty(self.channels)
        worth[self.sending_order.astype(np.int64)] = np.arange(self.channels, 0, -1)
        return worth

    def classes(self, count: int, contribution: str = "sensitivity") -> NDArray[np.uint8]:
        """(C,) class of each channel, 0 the most important; `count` 0 means a class a channel."""
        return classify(self.importance(contribution), count or self.channels)

    def allocate(
        self,
        scheme: str,
        mean_bits: float,
        *,
        feature_count: int,
        classes: NDArray[np.uint8] | None = None,
        contribution: str = "sensitivity",
        quantizer: str = "lloyd_max",
        noise_variance: float = 0.0,
        most_features: int = 0,
    ) -> NDArray[np.uint8]:
        """Bits of each channel for a frame.

        Parameters
        ----------
        scheme
            ``uniform``, ``fixed``, ``cumulative``, ``proportional`` or ``optimal`` (`semstream.quantize.allocation`).
        mean_bits
            Budget in bits a feature.
        feature_count
            Features in the frame, n = h·w·C.
        classes
            (C,) class of each channel; None for a class a channel.
        contribution
            Method whose contribution orders the classes and feeds ``cumulative`` and ``proportional``.
        quantizer
            Whose distortion ``optimal`` minimises.
        noise_variance
            Mean noise variance of a received feature; ``optimal`` then minimises what remains after both.
        most_features
            For ``optimal``: at most so many features are sent, where the channel uses are limited; 0 for no limit.

        Returns
        -------
        (C,) uint8, 0 to 12.

        Raises
        ------
        AllocationError
            If the budget cannot be met, or not one class fits into `most_features`.
        """
        classes = self.classes(0, contribution) if classes is None else classes
        most = 0 if most_features >= feature_count else most_features
        key = (scheme, mean_bits, feature_count, classes.tobytes(), contribution, quantizer, noise_variance, most)
        if key not in self._allocated:
            # A live link asks for the same few allocations frame after frame.
            if len(self._allocated) > 1000:
                self._allocated.clear()
            count = int(classes.max()) + 1
            member = (np.arange(count)[:, None] == classes).astype(np.float64)
            budget = int(mean_bits * feature_count + 1e-6)
            sites = feature_count // self.channels
            by_class = self.allocate_held(
                scheme,
                member * sites,
                budget,
                contribution=contribution,
                quantizer=quantizer,
                noise_variance=noise_variance,
                most_features=most,
            )
            self._allocated[key] = by_class[classes]
        return self._allocated[key]

    def allocate_held(
        self,
        scheme: str,
        held: NDArray[np.float64],
        budget_bits: int,
        *,
        contribution: str = "sensitivity",
        quantizer: str = "lloyd_max",
        noise_variance: float = 0.0,
        most_features: int = 0,
    ) -> NDArray[np.uint8]:
        """Bits of each class, from how many features of each channel it holds.

        Parameters
        ----------
        held
            (K, C) features of each class in each channel.
        budget_bits
            Budget of the frame.
        scheme, contribution, quantizer, noise_variance, most_features
            As for `allocate`.

        Returns
        -------
        (K,) uint8.

        Notes
        -----
        Of a codec with folds, `optimal` also tries to send none of them: a feature that meets no noise is described
        better by one fine code than by two coarse ones. What noise in a feature does where folds are sent depends on
        how much there is in all that belongs together (`under_noise`), and so is found by some rounds. By that, and
        not by the sensitivity at 15 dB alone, 100 training pictures of CIFAR-10 came out 0.6 / 1.0 / 1.7 / 4.1 dB
        better at 1.5 bits a feature, 1 / 7 / 13 dB and error-free, and 0.2 / 0.2 / 0.6 / 0 dB at 2 bits.
        """
        if scheme == "optimal":
            task = LeastError(
                held,
                self.variance.astype(np.float64),
                self.distortion[quantizer].astype(np.float64),
                self.sensitivity_alone.astype(np.float64),
                budget_bits,
                noise_variance,
                most_features,
                centroids=quantizer == "lloyd_max",
                worth=self.worth,
            )
            alone = task.allocate(task.alone)
            if self.under_noise is None:
                return alone.bits
            return min(alone, self._with_folds(task), key=lambda found: found.error).bits
        if most_features:
            raise AllocationError(f"most_features: only the scheme 'optimal' can leave features out, got {scheme!r}")
        return allocate(
            scheme,
            sizes=held.sum(axis=1).astype(np.int64),
            contribution=held @ self.importance(contribution).astype(np.float64),
            budget_bits=budget_bits,
        )

    def _with_folds(self, task: LeastError) -> Allocated:
        """Bits by weights for the noise that those bits leave."""
        assert self.under_noise is not None
        belong = np.ptp(self.under_noise, axis=0) > 0
        level = _level_db(task.at_equal_bits(), belong)
        for _ in range(_ROUNDS):
            found = task.allocate(self._weight_under(level))
            met = _level_db(found.noise, belong)
            if abs(met - level) < _NEAR_DB:
                break
            level = met
        return found

    def _weight_under(self, noise_db: float) -> NDArray[np.float64]:
        """(C,) sensitivity where features are so many dB above their noise."""
        assert self.under_noise is not None
        logarithm = np.log(self.under_noise.astype(np.float64).clip(1e-12))
        return np.exp([np.interp(noise_db, NOISE_KNOTS_DB, channel) for channel in logarithm.T])

    @cached_property
    def _allocated(self) -> dict[tuple[object, ...], NDArray[np.uint8]]:
        return {}

    def to_arrays(self) -> dict[str, Float32]:
        """Flat named arrays for a safetensors file."""
        arrays = {f"contribution.{name}": value for name, value in self.contribution.items()}
        arrays |= {f"distortion.{name}": value for name, value in self.distortion.items()}
        arrays |= {"variance": self.variance, "maximum": self.maximum}
        some = {name: getattr(self, name) for name in ("unfolded", "under_noise", "sending_order")}
        arrays |= {name: value for name, value in some.items() if value is not None}
        return arrays | self.codebooks.to_arrays("codebook")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], channels: int) -> Self:
        """Read what `to_arrays` wrote.

        Raises
        ------
        ProfileError
            If an array is missing, of another shape, or not finite.
        """

        def get(name: str, *shape: int) -> Float32:
            if name not in arrays:
                raise ProfileError(f"profile: array {name!r} is missing")
            value = np.asarray(arrays[name], np.float32)
            if value.shape != shape or not np.isfinite(value).all():
                raise ProfileError(f"profile: array {name!r} should be finite and {shape}, is {value.shape}")
            return value

        order = get("sending_order", channels) if "sending_order" in arrays else None
        if order is not None and not np.array_equal(np.sort(order), np.arange(channels)):
            raise ProfileError(f"profile: array 'sending_order' should have each of 0 to {channels - 1} once")
        try:
            codebooks = Codebooks.from_arrays(arrays, "codebook")
        except QuantizeError as error:
            raise ProfileError(f"profile: {error}") from None
        if codebooks.channels != channels:
            raise ProfileError(f"profile: codebooks are for {codebooks.channels} channels, the codec has {channels}")
        return cls(
            contribution={name: get(f"contribution.{name}", channels) for name in CONTRIBUTIONS},
            variance=get("variance", channels),
            maximum=get("maximum", channels),
            codebooks=codebooks,
            distortion={name: get(f"distortion.{name}", channels, MAX_BITS + 1) for name in QUANTIZERS},
            unfolded=get("unfolded", channels) if "unfolded" in arrays else None,
            under_noise=get("under_noise", len(NOISE_KNOTS_DB), channels) if "unfolded" in arrays else None,
            sending_order=order,
        )


def _level_db(noise: NDArray[np.float64], belong: NDArray[np.bool_]) -> float:
    """Mean over the channels that belong together, in dB below the power of one."""
    return float(np.mean(-10 * np.log10(noise[belong]))) if belong.any() else SENSITIVITY_NOISE_DB
