"""Bandwidth: which channels of features are sent over the channel uses that a case has, and what with the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semstream.codec.copies import Copies, CopiesError, CopyPlans, kinds_of, put_copies, take_copies
from semstream.codec.profile import Profile
from semstream.quantize.dequantize import NOISE_CAP
from tools.evaluation.case import Case, CaseError

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Rate:
    """How the features of one case fill its channel uses.

    Attributes
    ----------
    most
        Channels that may be sent.
    channels
        (C,) bool: those that are, where features are not quantized.
    dimensions
        Real dimensions a site to fill with copies; 0 for none.
    """

    profile: Profile
    plans: CopyPlans
    case: Case
    most: int
    channels: NDArray[np.bool_]
    dimensions: int

    @property
    def share(self) -> float:
        """Of all features, those that may be sent."""
        return self.most / self.profile.channels if self.case.cbr else 1.0

    def put(self, values: Float32, widths: NDArray[np.uint8]) -> Float32:
        """What is sent of the values of `FeatureCoder.amplitudes`, with copies; `widths` (C,), empty if unquantized."""
        sent = self._sent(widths)
        if not widths.size and not sent.all():
            values = np.ascontiguousarray(values.reshape(-1, sent.size)[:, sent]).reshape(-1)
        return put_copies(values, sent, self._copies(sent)) if self.dimensions else values

    def take(self, values: Float32, noise: Float32, widths: NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Values and noise for `FeatureCoder.observe` from what was received."""
        sent = self._sent(widths)
        if self.dimensions:
            values, noise = take_copies(values, noise, sent, self._copies(sent), self.profile)
        if widths.size or sent.all():
            return values, noise
        shape = (values.size // int(sent.sum()), sent.size)
        whole, known = np.zeros(shape, np.float32), np.full(shape, NOISE_CAP, np.float32)
        whole[:, sent], known[:, sent] = values.reshape(shape[0], -1), noise.reshape(shape[0], -1)
        return whole.reshape(-1), known.reshape(-1)

    def _sent(self, widths: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return widths > 0 if widths.size else self.channels

    def _copies(self, sent: NDArray[np.bool_]) -> Copies:
        return self.plans.copies(
            sent, max(self.dimensions, int(sent.sum())), self.case.snr_db, kinds_of(self.case.copies)
        )


class Rates:
    """The `Rate` of each case, for one set of weights."""

    def __init__(self, profile: Profile, stride: int) -> None:
        self._profile, self._stride = profile, stride
        self._plans = CopyPlans(profile)
        self._order = np.argsort(-profile.weighted_variance, kind="stable")

    def of(self, case: Case) -> Rate:
        """How a case is sent.

        Raises
        ------
        CaseError
            If the bandwidth is less than one channel takes, or more than the features can fill.
        """
        total = self._profile.channels
        if not case.cbr:
            return Rate(self._profile, self._plans, case, total, np.ones(total, bool), 0)
        # Two real dimensions a channel use, stride² pixels of three colours a site.
        dimensions = int(6 * self._stride**2 * case.cbr + 1e-6)
        if dimensions < 1:
            raise CaseError(f"CBR {case.cbr:.4g} is less than one channel of features takes")
        if case.copies == "none":
            if dimensions > total:
                raise CaseError(f"{total} channels do not fill CBR {case.cbr:.4g}; --copies repeated or folded can")
            return Rate(self._profile, self._plans, case, dimensions, self._first(dimensions), 0)
        try:
            sent = self._plans.sent(dimensions, case.snr_db, kinds_of(case.copies))
        except CopiesError as error:
            raise CaseError(f"CBR {case.cbr:.4g}: {error}") from None
        return Rate(self._profile, self._plans, case, int(sent.sum()), sent, dimensions)

    def _first(self, count: int) -> NDArray[np.bool_]:
        return np.isin(np.arange(self._profile.channels), self._order[:count])
