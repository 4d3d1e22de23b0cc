"""What is sent and how it is timed, the same for every system that is compared.

A schedule is a list of phases. A *ping* phase sends lone messages, spaced so that each finds the path empty: their age
on arrival is the latency of one hop. A *flood* phase sends for some time as fast as the path takes: the arrivals give
the throughput. Times are Unix time, which the processes of one machine share.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Phase(NamedTuple):
    """Messages of `size` bytes: `pings` of them every `interval_s`, or (with 0) a flood of `flood_s`."""

    size: int
    pings: int
    interval_s: float
    flood_s: float


Schedule = Sequence[Phase | tuple[int, int, float, float]]


def phases(schedule: Sequence[Any]) -> list[Phase]:
    """A schedule from JSON values."""
    return [Phase(*phase) for phase in schedule]


def emissions(phase: Phase) -> Iterator[None]:
    """Yield once for each message of a phase, at its time."""
    if phase.pings:
        for _ in range(phase.pings):
            time.sleep(phase.interval_s)
            yield
    else:
        end = time.monotonic() + phase.flood_s
        while time.monotonic() < end:
            yield


@lru_cache(maxsize=8)
def content(size: int) -> NDArray[np.uint8]:
    """The message of that size: random bytes, the same each time."""
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


class Tally:
    """Ages and arrival times of the messages of each phase."""

    def __init__(self) -> None:
        self._ages: dict[int, list[int]] = {}
        self._arrivals: dict[int, list[int]] = {}

    def add(self, phase: int, sent_ns: int, data: NDArray[np.uint8]) -> None:
        """Count a message that has arrived; its first and last byte are read."""
        now = time.time_ns()
        if int(data[0]) + int(data[-1]) < 0:
            raise ValueError("bytes are not negative")
        self._ages.setdefault(phase, []).append(now - sent_ns)
        self._arrivals.setdefault(phase, []).append(now)

    def result(self, warm_up: float = 0.1) -> dict[str, dict[str, float]]:
        """By phase: count, age p50, p99 and max in µs, messages a second; without a share `warm_up` at the start."""
        found = {}
        for phase, ages in self._ages.items():
            skip = int(len(ages) * warm_up)
            age = np.array(ages[skip:]) / 1e3
            arrivals = self._arrivals[phase][skip:]
            seconds = (arrivals[-1] - arrivals[0]) / 1e9
            found[str(phase)] = {
                "count": len(age),
                "p50_us": float(np.percentile(age, 50)),
                "p99_us": float(np.percentile(age, 99)),
                "max_us": float(age.max()),
                "per_s": (len(arrivals) - 1) / seconds if seconds else 0.0,
            }
        return found
