"""Whether something grows: a line through samples over time, how sure its slope is, and what that says.

Samples that lie close together in time are alike, so a line through all of them would look surer than it is. The time
is cut into blocks, and the line goes through their means, which are nearly independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCKS = 12
SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Trend:
    """A fitted line.

    Attributes
    ----------
    mean
        Of the samples.
    slope
        Units an hour.
    low, high
        95 % interval of the slope.
    """

    mean: float
    slope: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, its trend, and the word: "flat", "grows" or "undecided"."""

    what: str
    unit: str
    trend: Trend
    word: str
    limit: float

    @property
    def text(self) -> str:
        """One line for people."""
        t = self.trend
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.what}: {self.word}; mean {t.mean:.1f}{unit}, slope {t.slope:+.2f} ± {t.half:.2f} an hour" + (
            f" (95 %), limit {self.limit:.2f}" if self.limit else ""
        )


def fit(at_s: Sequence[float], values: Sequence[float], blocks: int = BLOCKS) -> Trend:
    """A line through samples by least squares of block means, with Student's 95 % interval of its slope.

    Raises
    ------
    ValueError
        Of fewer than three samples.
    """
    if len(values) < 3:
        raise ValueError(f"a trend needs three samples, got {len(values)}: run longer, or sample more often")
    from scipy import stats

    count = min(blocks, len(values))
    hours = np.array([part.mean() for part in np.array_split(np.asarray(at_s, float) / SECONDS, count)])
    means = np.array([part.mean() for part in np.array_split(np.asarray(values, float), count)])
    if np.ptp(means) == 0:
        return Trend(float(means[0]), 0.0, 0.0, 0.0)
    line = stats.linregress(hours, means)
    around = float(stats.t.ppf(0.975, count - 2)) * float(line.stderr)
    slope = float(line.slope)
    return Trend(float(np.mean(values)), slope, slope - around, slope + around)


def judge(what: str, unit: str, at_s: Sequence[float], values: Sequence[float], limit: float) -> Verdict:
    """Whether something is flat: its slope is below `limit` (units an hour) for sure; it grows if it is above for sure.

    In between, the run was too short to say.
    """
    trend = fit(at_s, values)
    word = "flat" if trend.high <= limit else "grows" if trend.low > limit else "undecided"
    return Verdict(what, unit, trend, word, limit)


def judge_count(what: str, at_s: Sequence[float], values: Sequence[float]) -> Verdict:
    """Whether a count is flat: what it comes back to in the last third is no more than in the first.

    Counts go up and down by a few (a request under way, a file at hand) and do not drift by fractions.
    """
    trend = fit(at_s, values)
    third = max(1, len(values) // 3)
    first, last = values[:third], values[-third:]
    grows = min(last) > min(first) or math.floor(float(np.median(last))) > max(first)
    return Verdict(what, "", trend, "grows" if grows else "flat", 0.0)
