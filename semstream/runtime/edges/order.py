"""Order: put frames of replicas back in sequence (`Reorder`), and match frames of several ports (`Join`).

Both know a frame by (stream, seq), both are told of gaps (frames that will not come), and both also see them by
themselves: a sender's frames have growing seq, so one that has passed a number will not send it any more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from semstream.runtime.errors import WireError
from semstream.runtime.frames.wire import Gap

Item = TypeVar("Item")
Key = tuple[str, int]
MAX_RANGES = 4096
MAX_STREAMS = 2**16
"""Streams whose place is kept: a peer may name as many as it likes, and the memory is ours."""
ENDED = 2**64


class Ranges:
    """A set of integers as sorted, disjoint ranges; the lowest are forgotten beyond `MAX_RANGES`."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def __contains__(self, value: int) -> bool:
        i = bisect_right(self._first, value) - 1
        return i >= 0 and value <= self._last[i]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._first, self._last, strict=True))

    def __len__(self) -> int:
        return len(self._first)

    def add(self, first: int, last: int) -> None:
        """Add first to last, both included."""
        low = bisect_right(self._first, first) - 1
        if low < 0 or self._last[low] < first - 1:
            low += 1
        high = low
        while high < len(self._first) and self._first[high] <= last + 1:
            first, last = min(first, self._first[high]), max(last, self._last[high])
            high += 1
        self._first[low:high], self._last[low:high] = [first], [last]
        if len(self._first) > MAX_RANGES:
            del self._first[0], self._last[0]

    def end_of_run(self, value: int) -> int:
        """First integer from `value` on that is not in the set."""
        i = bisect_right(self._first, value) - 1
        return self._last[i] + 1 if i >= 0 and value <= self._last[i] else value

    def discard_below(self, value: int) -> None:
        """Forget every range that ends below `value`."""
        while self._last and self._last[0] < value:
            del self._first[0], self._last[0]

    def next_from(self, value: int) -> int:
        """Lowest member from `value` on, or `ENDED`."""
        if value in self:
            return value
        i = bisect_right(self._first, value)
        return self._first[i] if i < len(self._first) else ENDED


def _check_room(streams: Mapping[str, object]) -> None:
    if len(streams) >= MAX_STREAMS:
        raise WireError("streams", f"more than {MAX_STREAMS} streams over one edge")


class _Stream(Generic[Item]):
    def __init__(self) -> None:
        self.next = 0
        self.held: dict[int, tuple[int, Item]] = {}
        self.gaps = Ranges()
        self.last: dict[int, int] = {}


class Reorder(Generic[Item]):
    """Restore the sequence of frames that come over several links, each of which is in order by itself.

    A frame is released at once if it continues the sequence. Otherwise it is held until the frames before it have
    come, are announced as gaps, or every open link has passed them.
    """

    def __init__(self, links: int) -> None:
        self.open = set(range(links))
        self.held_of = [0] * links
        self._streams: dict[str, _Stream[Item]] = {}

    def push(self, link: int, key: Key, item: Item) -> list[tuple[int, Item]]:
        """Take a frame; returns the (link, frame) that are now in sequence."""
        stream = self._stream(key[0])
        seq = key[1]
        stream.last[link] = seq
        if seq <= stream.next:
            released = [(link, item)]
            if seq == stream.next:
                stream.next += 1
                self._advance(stream, released)
            return released
        stream.held[seq] = (link, item)
        self.held_of[link] += 1
        released = []
        self._advance(stream, released)
        return released

    def gap(self, gap: Gap) -> list[tuple[int, Item]]:
        """Take note that a range will not come."""
        stream = self._stream(gap[0])
        if gap[2] >= stream.next:
            stream.gaps.add(max(gap[1], stream.next), gap[2])
        released: list[tuple[int, Item]] = []
        self._advance(stream, released)
        return released

    def end(self, link: int) -> list[tuple[int, Item]]:
        """Take note that a link sends no more."""
        self.open.discard(link)
        released: list[tuple[int, Item]] = []
        for stream in self._streams.values():
            self._advance(stream, released)
        return released

    def _stream(self, name: str) -> _Stream[Item]:
        stream = self._streams.get(name)
        if stream is None:
            _check_room(self._streams)
            stream = self._streams[name] = _Stream()
        return stream

    def _advance(self, stream: _Stream[Item], released: list[tuple[int, Item]]) -> None:
        while True:
            held = stream.held.pop(stream.next, None)
            if held is not None:
                self.held_of[held[0]] -= 1
                released.append(held)
                stream.next += 1
                continue
            after = stream.gaps.end_of_run(stream.next)
            if after != stream.next:
                stream.next = after
                stream.gaps.discard_below(after)
                continue
            if not stream.held:
                return
            passed = min((stream.last.get(link, -1) for link in self.open), default=ENDED)
            if passed < stream.next:
                return
            # Nobody can send `next` any more and nobody has announced it: it was lost. A link's own newest frame is
            # held or released, so going to the lowest held one skips only what is lost.
            stream.next = min(min(stream.held), stream.gaps.next_from(stream.next))


class Join(Generic[Item]):
    """Match the frames of several ports by (stream, seq).

    A key that a port will not deliver is given up: its frames are returned as unmatched, to be counted, and its gap
    goes on downstream.
    """

    def __init__(self, ports: Iterable[str]) -> None:
        self.ports = list(ports)
        self.pending: dict[Key, dict[str, Item]] = {}
        self.held_of = dict.fromkeys(self.ports, 0)
        self._passed: dict[str, dict[str, int]] = {port: {} for port in self.ports}
        self._ended: set[str] = set()
        self._gaps: dict[str, Ranges] = {}

    def push(self, port: str, key: Key, item: Item) -> tuple[dict[str, Item] | None, list[Item], list[Gap]]:
        """Take a frame; returns (the complete set or None, unmatched frames, gaps to pass on)."""
        stream, seq = key
        unmatched: list[Item] = []
        gaps: list[Gap] = []
        passed = self._passed[port]
        if stream not in passed:
            _check_room(passed)
        before = passed.get(stream, -1)
        if seq > before:
            passed[stream] = seq
            if seq > before + 1:
                self._give_up(stream, before + 1, seq - 1, unmatched, gaps, missing=port)
        waiting = self.pending.get(key)
        if waiting is None:
            if self._hopeless(port, key):
                unmatched.append(item)
                gaps.append((stream, seq, seq))
                return None, unmatched, gaps
            waiting = self.pending[key] = {}
        if port in waiting:  # the same number twice: the first one counts
            unmatched.append(item)
            return None, unmatched, gaps
        waiting[port] = item
        if len(waiting) < len(self.ports):
            self.held_of[port] += 1
            return None, unmatched, gaps
        del self.pending[key]
        for name in waiting:
            if name != port:
                self.held_of[name] -= 1
        return {name: waiting[name] for name in self.ports}, unmatched, gaps

    def gap(self, gap: Gap) -> tuple[list[Item], list[Gap]]:
        """Take note that a port will not deliver a range; returns (unmatched frames, gaps to pass on)."""
        stream, first, last = gap
        if stream not in self._gaps:
            _check_room(self._gaps)
            self._gaps[stream] = Ranges()
        self._gaps[stream].add(first, last)
        unmatched: list[Item] = []
        self._give_up(stream, first, last, unmatched, [])
        return unmatched, [gap]

    def end(self, port: str) -> tuple[list[Item], list[Gap]]:
        """Take note that a port has ended."""
        self._ended.add(port)
        unmatched: list[Item] = []
        gaps: list[Gap] = []
        for stream in {key[0] for key in self.pending}:
            self._give_up(stream, 0, ENDED, unmatched, gaps, missing=port)
        return unmatched, gaps

    def _hopeless(self, port: str, key: Key) -> bool:
        stream, seq = key
        ranges = self._gaps.get(stream)
        if ranges is not None and seq in ranges:
            return True
        return any(
            other in self._ended or self._passed[other].get(stream, -1) >= seq for other in self.ports if other != port
        )

    def _give_up(
        self, stream: str, first: int, last: int, unmatched: list[Item], gaps: list[Gap], missing: str | None = None
    ) -> None:
        keys = [
            key
            for key, waiting in self.pending.items()
            if key[0] == stream and first <= key[1] <= last and (missing is None or missing not in waiting)
        ]
        for key in keys:
            for port, item in self.pending.pop(key).items():
                self.held_of[port] -= 1
                unmatched.append(item)
            gaps.append((stream, key[1], key[1]))
