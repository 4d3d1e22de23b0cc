"""Counters that are always on: bounded memory, a few integer operations a frame."""

from __future__ import annotations

from collections import Counter
from typing import Any

SUB_BUCKETS = 16  # buckets an octave: 4.4 % wide on average, so a percentile is off by about 3 % at most
_SHIFT = SUB_BUCKETS.bit_length() - 1


class Histogram:
    """Durations in logarithmic buckets.

    Durations are integers in ns. Histograms of replicas add up.
    """

    __slots__ = ("buckets", "count", "maximum", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.maximum = 0

    def add(self, ns: int) -> None:
        """Count one duration."""
        if ns < SUB_BUCKETS:
            ns = SUB_BUCKETS
        exponent = ns.bit_length() - 1 - _SHIFT
        bucket = (exponent << _SHIFT) + (ns >> exponent)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.total += ns
        if ns > self.maximum:
            self.maximum = ns

    def percentile(self, percent: float) -> float:
        """Duration in ns below which `percent` of the durations lie; 0 if there are none."""
        rank = self.count * percent / 100
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                exponent, mantissa = (bucket >> _SHIFT) - 1, (bucket & (SUB_BUCKETS - 1)) + SUB_BUCKETS
                return min((mantissa + 0.5) * 2.0**exponent, self.maximum)
        return 0.0

    def state(self) -> list[Any]:
        """As msgpack values."""
        return [self.total, self.maximum, list(self.buckets.items())]

    def merge(self, state: list[Any]) -> None:
        """Add what `state` gave."""
        self.total += state[0]
        self.maximum = max(self.maximum, state[1])
        for bucket, count in state[2]:
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
            self.count += count

    def summary(self) -> dict[str, float]:
        """Count, mean, p50, p95, p99 and maximum, in milliseconds."""
        mean = self.total / self.count if self.count else 0.0
        values = {"mean": mean, "p50": self.percentile(50), "p95": self.percentile(95), "p99": self.percentile(99)}
        return {"count": self.count, **{k: v / 1e6 for k, v in values.items()}, "max": self.maximum / 1e6}


class NodeCounters:
    """What one node counts."""

    def __init__(self) -> None:
        self.frames_in: Counter[str] = Counter()
        self.frames_out: Counter[str] = Counter()
        self.bytes_in: Counter[str] = Counter()
        self.bytes_out: Counter[str] = Counter()
        self.skips: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()  # "edge name: why it was not shared memory"
        self.drops: Counter[str] = Counter()  # "edge name: reason"
        self.restarts: Counter[str] = Counter()
        self.queue_peak: Counter[str] = Counter()
        self.queue: dict[str, int] = {}
        self.work = Histogram()
        self.wait = Histogram()
        self.age = Histogram()

    def state(self) -> dict[str, Any]:
        """As msgpack values."""
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            values[name] = value.state() if isinstance(value, Histogram) else dict(value)
        return values


def merged(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Counters of one block from the states of its replicas; durations in ms."""
    total = NodeCounters()
    for state in states:
        for name, value in state.items():
            mine = getattr(total, name)
            if isinstance(mine, Histogram):
                mine.merge(value)
            elif name == "queue_peak":
                for key, count in value.items():
                    mine[key] = max(mine[key], count)
            else:
                for key, count in value.items():
                    mine[key] = mine.get(key, 0) + count
    return {
        name: value.summary() if isinstance(value, Histogram) else dict(value) for name, value in vars(total).items()
    }
