"""Finding bursts again in what comes from a GNU Radio; see `bursts`."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from semstream.radio.bursts import Burst, Layout, Mode, Place
from semstream.radio.errors import RadioError
from semstream.radio.messages import Samples, Tag, decode_pdu, decode_samples, decode_tagged

_KEYS = ("burst", "packet_len", "frame", "end")


class BurstReader(Protocol):
    """Finds bursts in messages."""

    faults: Counter[str]
    ended: bool

    def feed(self, message: bytes) -> list[Burst]:
        """Bursts that are complete with this message.

        Raises
        ------
        RadioError
            If a message is not of the mode, and what follows cannot be trusted either (``raw``).
        """

    def expect(self, place: Place) -> None:
        """A burst that was sent."""

    def gone(self, place: Place) -> bool:
        """Whether an expected burst can no longer come."""


def reader(mode: Mode, layout: Layout, every: int = 0) -> BurstReader:
    """The reader of a mode; `every` cuts a raw stream, which has no bursts, into some of so many samples."""
    return PduReader(layout) if mode == "pdu" else StreamReader(mode, layout, every)


@dataclass(slots=True)
class _Pending:
    number: int
    start: int
    count: int
    header: bytes = b""


class StreamReader:
    """Bursts in a stream of samples, by tags or by count.

    Gaps in the count of a tagged stream are filled with zeros. What is wrong is counted in `faults`: ``message`` (not
    of the mode), ``tag`` (one that cannot be true), ``restart`` (a count that begins anew), ``gap`` (samples missing).
    """

    def __init__(self, mode: Mode, layout: Layout, every: int = 0) -> None:
        self.faults: Counter[str] = Counter()
        self.ended = False
        self.end = 0
        self._tagged = mode == "tagged"
        self._layout = layout
        self._every = every if mode == "raw" else 0
        self._next = _Pending(0, 0, self._every)
        self._pending: deque[_Pending] = deque()
        self._kept: deque[tuple[int, Samples]] = deque()

    def expect(self, place: Place) -> None:
        """A burst that was sent; without tags this is how it is found."""
        if not self._tagged:
            self._pending.append(_Pending(place.number, place.start - self._layout.advance, place.count))

    def gone(self, place: Place) -> bool:
        """Whether the stream has passed the place of a burst, no tag having told of it."""
        waited_for = any(pending.number == place.number for pending in self._pending)
        return not waited_for and self.end > place.start  # tags are not early, whatever the samples are

    def feed(self, message: bytes) -> list[Burst]:
        """Bursts that are complete with this message."""
        tags: list[Tag] = []
        if not self._tagged:
            samples, offset = decode_samples(message), self.end
        else:
            try:
                offset, tags, samples = decode_tagged(message)
            except RadioError:
                self.faults["message"] += 1
                return []
        if offset < self.end:
            self.faults["restart"] += 1
            self._kept.clear()
            self._pending.clear()
        elif offset > self.end:
            self.faults["gap"] += offset - self.end
        if samples.size:
            self._kept.append((offset, samples))
        self.end = offset + samples.size
        self._note(tags, offset)
        while self._every and self._next.start < self.end:
            self._pending.append(self._next)
            self._next = _Pending(self._next.number + 1, self._next.start + self._every, self._every)
        return self._complete()

    def _note(self, tags: list[Tag], offset: int) -> None:
        told: dict[int, dict[str, Any]] = {}
        for tag in tags:
            if isinstance(tag.key, str) and tag.key in _KEYS:
                if not offset <= tag.offset < self.end:
                    self.faults["tag"] += 1
                    continue
                told.setdefault(tag.offset, {})[tag.key] = tag.value
        for at, facts in sorted(told.items()):
            if "burst" in facts:
                pending = _believed(facts, facts.get("packet_len"), at - self._layout.advance, self._layout.longest)
                if pending is None or pending.start < 0:
                    self.faults["tag"] += 1
                elif not self._pending or pending.start >= self._pending[-1].start + self._pending[-1].count:
                    self._pending.append(pending)
                else:
                    self.faults["tag"] += 1  # it lies inside another burst
            elif facts.get("end") is True:
                self.ended = True

    def _complete(self) -> list[Burst]:
        done = []
        while self._pending and self._pending[0].start + self._pending[0].count <= self.end:
            burst = self._pending.popleft()
            samples, present = self._cut(burst.start, burst.count)
            done.append(Burst(burst.number, samples, present, burst.header))
        # An advance reaches back behind a tag that is still to come.
        needed = self._pending[0].start if self._pending else self.end - self._layout.advance
        while self._kept and self._kept[0][0] + self._kept[0][1].size <= needed:
            self._kept.popleft()
        return done

    def _cut(self, start: int, count: int) -> tuple[Samples, np.ndarray]:
        samples = np.zeros(count, np.complex64)
        present = np.zeros(count, bool)
        for offset, kept in self._kept:
            low, high = max(start, offset), min(start + count, offset + kept.size)
            if low < high:
                samples[low - start : high - start] = kept[low - offset : high - offset]
                present[low - start : high - start] = True
        return samples, present


@dataclass(slots=True)
class PduReader:
    """Bursts that are PDUs.

    `faults` counts ``message`` (no PDU of samples) and ``tag`` (a dict that cannot be true).
    """

    layout: Layout
    faults: Counter[str] = field(default_factory=Counter)
    ended: bool = False

    def expect(self, place: Place) -> None:
        """A burst that was sent; PDUs say themselves which they are."""

    def gone(self, place: Place) -> bool:
        """Never known: a PDU may be held up without any count that shows it."""
        return False

    def feed(self, message: bytes) -> list[Burst]:
        """The burst of this message, if it is one."""
        try:
            pdu = decode_pdu(message)
        except RadioError:
            self.faults["message"] += 1
            return []
        if "burst" not in pdu.metadata:
            self.ended |= pdu.metadata.get("end") is True
            return []
        count = pdu.data.size - self.layout.advance
        pending = _believed(dict(pdu.metadata), count, 0, self.layout.longest)
        if pending is None or pdu.data.dtype != np.complex64:
            self.faults["tag"] += 1
            return []
        return [Burst(pending.number, pdu.data[:count], np.ones(count, bool), pending.header)]


def _believed(facts: dict[Any, Any], count: Any, start: int, longest: int) -> _Pending | None:
    """What tags or a dict say of a burst; None if it cannot be true."""
    number, header = facts["burst"], facts.get("frame", np.zeros(0, np.uint8))
    if not _whole(number, 0, 2**63 - 1) or not _whole(count, 1, longest):
        return None
    if not isinstance(header, np.ndarray) or header.dtype != np.uint8:
        return None
    return _Pending(number, start, count, header.tobytes())


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
