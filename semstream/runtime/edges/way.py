"""The way between two hosts, as its receiving end measures it: how long it takes, and the credit that it needs.

Credit goes back with the receiver's own time on it, and the next frame brings that time back, with how long the sender
had it. So a receiver knows the round trip of every frame by its own monotonic clock; no two clocks need be equal, and
none may jump. What is more than the least round trip has waited: in a queue, or for a cable that was cut.
"""

from __future__ import annotations

import math
from collections import deque

from semstream.runtime.frames.wire import MAX_CREDIT

AUTO_BYTES = 2**25
"""Frames that are under way to one receiver under ``credit="auto"`` take no more bytes than this."""
KEPT_NS = 10_000_000_000
"""The least round trip is that of the last 10 to 20 s: the way may change, and clocks drift apart."""
SPAN_NS = 200_000_000
"""Frames a second are counted over two round trips, and over no less than this."""
LATE_SERVICES = 3
LATE_NS = 20_000_000
"""A frame that was held up for no more than this is never late: so long may a busy machine take."""
REPAIR_NS = 400_000_000
"""TCP repairs a loss in a round trip, or two; where it has to time out, in 0.2 s and more."""
JUDGED = 8
"""Frames are judged once so many have told how long the receiver takes for one."""


class Way:
    """Round trip, frames a second and service time of one edge between hosts. Times are monotonic, in ns.

    Attributes
    ----------
    least_ns : int
        Least round trip of late.
    """

    def __init__(self) -> None:
        self.least_ns = 0
        self._buckets: list[int] = []
        self._bucket_since = 0
        self._taken_at = 0
        self._services: deque[int] = deque(maxlen=15)
        self._rates: deque[float] = deque(maxlen=8)
        self._counted = 0
        self._counted_since = 0
        self._nbytes = 0.0
        self._round_trips: deque[int] = deque(maxlen=64)
        self._late_in_a_row = 0

    def came(self, now: int, round_trip: int, nbytes: int) -> None:
        """A message has come."""
        self._nbytes += (nbytes - self._nbytes) / 8 if self._nbytes else nbytes
        self._round_trips.append(round_trip)
        buckets = self._buckets
        if not buckets or now - self._bucket_since > KEPT_NS:
            self._bucket_since = now
            buckets.append(round_trip)
            del buckets[:-2]
        elif round_trip < buckets[-1]:
            buckets[-1] = round_trip
        self.least_ns = min(buckets)

    def took(self, now: int) -> None:
        """The receiver has done with a frame."""
        if self._taken_at:
            self._services.append(now - self._taken_at)
        self._taken_at = now
        self._counted += 1
        span = now - self._counted_since
        if span >= max(SPAN_NS, 2 * self.least_ns):
            if self._counted_since:
                self._rates.append(self._counted * 1e9 / span)
            self._counted = 0
            self._counted_since = now

    @property
    def service_ns(self) -> int:
        """Median time from one frame to the next at the receiver, of the last 15; a stall does not move it."""
        services = self._services
        return sorted(services)[len(services) // 2] if services else 0

    def is_late(self, round_trip: int, credit: int) -> bool:
        """Whether the frame that has just come was held up for more than three service times.

        No more than `credit` frames can be held up by one cut: if more seem to be, the way itself has become longer.
        """
        if len(self._services) < JUDGED:
            return False
        if round_trip - self.least_ns <= max(LATE_NS, LATE_SERVICES * self.service_ns):
            self._late_in_a_row = 0
            return False
        self._late_in_a_row += 1
        if self._late_in_a_row <= credit + 1:
            return True
        self._buckets[:] = [round_trip]
        self.least_ns = round_trip
        self._late_in_a_row = 0
        return False

    def credit(self, lossless: bool) -> int:
        """Frames that should be under way: the bandwidth-delay product, as BBR estimates it, within `AUTO_BYTES`.

        The most frames a second of late times the least round trip: neither grows with a queue, so the credit does not
        either. Lost packets, which TCP repairs, take more: a lossless edge goes on meanwhile, with twice that, or what
        its longest round trip of late needs, of which no more than `REPAIR_NS` is taken for repair, not for a queue. A
        live one takes the mean round trip, and no more than a service time above the least: what waits longer is late.
        """
        least, trips = self.least_ns, self._round_trips
        if lossless:
            needed = min(max(2 * least, max(trips, default=0)), 2 * least + REPAIR_NS)
        else:
            needed = min(sum(trips) // max(1, len(trips)), least + self.service_ns)
        wanted = math.ceil(needed * max(self._rates, default=0.0) / 1e9) + 1
        most = AUTO_BYTES // max(1, int(self._nbytes))
        return max(2, min(wanted, most, MAX_CREDIT))
