"""What can be wrong with samples that came from a radio: numbers that are none, and amplitudes cut off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from semstream.radio.messages import Samples

CLIPPED_SHARE = 0.01
"""Share of samples at exactly the largest amplitude from which they count as clipped."""
_FEWEST_CLIPPED = 8


class Inspected(NamedTuple):
    """Samples without what is not finite (0 in its place), a mask (N,) of what is good, and how many are clipped."""

    samples: Samples
    good: np.ndarray
    clipped: int


def inspect(samples: Samples) -> Inspected:
    """Find samples that are not finite, and clipping.

    A converter that is driven too hard gives its largest value again and again, in I or in Q. Of noise-like samples
    no two agree in it, so several at exactly the largest amplitude, and `CLIPPED_SHARE` of all, are clipped.

    Parameters
    ----------
    samples
        (N,) complex64.
    """
    good = np.isfinite(samples)
    if not good.all():
        samples = np.where(good, samples, np.complex64(0))
    parts = np.abs(samples.view(np.float32).reshape(-1, 2))
    largest = parts.max(initial=0.0)
    clipped = int((parts == largest).any(axis=1).sum()) if largest > 0 else 0
    counts = clipped >= max(_FEWEST_CLIPPED, CLIPPED_SHARE * samples.size)
    return Inspected(samples, good, clipped if counts else 0)
