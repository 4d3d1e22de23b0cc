"""Report: what a user tells of one frame, so that its share of the band can be set. Some hundred numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
WIDTHS = 9
"""Widths of a feature in a report, 0 to 8 bits: more the channel's noise would hide."""
ERROR_FREE_DB = 100.0
"""Es/N0 that stands for a channel without errors."""


class ReportError(ValueError):
    """A report that cannot be true: says which field, what was expected and what came."""


@dataclass(frozen=True)
class Report:
    """What a user tells of one frame.

    Attributes
    ----------
    distortion
        (C, 9) float32 mean squared error of a feature of each channel of this frame at 0 to 8 bits; at 0 its power.
    scale
        The encoder's scale of the frame.
    sites
        Feature sites h·w; each channel of features takes (sites + 1)//2 channel uses.
    snr_db
        Es/N0 of this user at mean power 1.
    measured
        (G, S, 3) float32: at G numbers of sent channels and S noise levels the number of channels, the distortion that
        the profile expects, and the one that was measured with the user's own decoder, both in dB below full scale.
        Rows by number of channels, entries by falling distortion. (0, 0, 3) where nothing was measured.
    least
        Channel uses that the user asks for at least; 0: none.
    """

    distortion: Float32
    scale: float
    sites: int
    snr_db: float
    measured: Float32
    least: int = 0

    @property
    def price(self) -> int:
        """Channel uses of one channel of features."""
        return (self.sites + 1) // 2

    def to_arrays(self) -> dict[str, Float32]:
        """Its arrays, for a frame."""
        return {"distortion": self.distortion, "measured": self.measured}

    def to_tags(self) -> dict[str, Any]:
        """Its plain values, for a frame's header."""
        return {"scale": self.scale, "sites": self.sites, "report_snr_db": self.snr_db, "least_uses": self.least}

    @classmethod
    def from_frame(cls, arrays: Mapping[str, NDArray[Any]], tags: Mapping[str, Any], channels: int) -> Self:
        """Read and check what `to_arrays` and `to_tags` gave.

        Raises
        ------
        ReportError
            Naming the first field that is missing or out of range.
        """

        def need(name: str, test: bool, expected: str, got: Any) -> None:
            if not test:
                raise ReportError(f"report {name!r}: expected {expected}, got {got!r:.60}")

        distortion, measured = arrays["distortion"], arrays["measured"]
        shape = (channels, WIDTHS)
        fits = distortion.shape == shape and bool(np.isfinite(distortion).all()) and bool((distortion >= 0).all())
        need("distortion", fits and bool(distortion[:, 0].any()), f"{shape}, finite and >= 0", distortion.shape)
        fits = measured.ndim == 3 and measured.shape[2] == 3 and bool(np.isfinite(measured).all())
        need("measured", fits, "finite (G, S, 3)", measured.shape)
        if measured.size:
            counts = measured[:, 0, 0]
            need("measured", bool((np.diff(counts) > 0).all()) and counts[0] >= 1, "growing channels", counts.tolist())
            steps = np.diff(measured[:, :, 1], axis=1)
            need("measured", bool((steps > 0).all()), "falling distortion", measured.shape)
        scale, sites, snr_db, least = (tags.get(n) for n in ("scale", "sites", "report_snr_db", "least_uses"))
        need("scale", isinstance(scale, float) and 0 < scale < 1e4, "a positive number", scale)
        need("sites", isinstance(sites, int) and 1 <= sites <= 2**24, "a count", sites)
        need("snr_db", isinstance(snr_db, float) and snr_db >= -100, "a number of dB", snr_db)
        need("least", isinstance(least, int) and 0 <= least <= 2**40, "a count", least)
        assert isinstance(scale, float)
        assert isinstance(sites, int)
        assert isinstance(snr_db, float)
        assert isinstance(least, int)
        return cls(distortion, scale, sites, snr_db, measured, least)


def with_measured(report: Report, measured: Float32) -> Report:
    """The report with another measurement."""
    return replace(report, measured=measured)
