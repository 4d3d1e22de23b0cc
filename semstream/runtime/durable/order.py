"""Order on durable edges, where all that will not come is announced: nothing is given up because others have passed.

After a replay a frame may come over another link, and later than frames behind it, than it would have otherwise. What
the edges of a live stream take for a loss would be one here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from semstream.runtime.edges.order import Join, Key, Ranges, Reorder, _Stream
from semstream.runtime.frames.wire import Gap

Item = TypeVar("Item")
Done = dict[str, Ranges]


class PatientReorder(Reorder[Item]):
    """`Reorder` that waits for every number, from where an earlier life stood."""

    def __init__(self, links: int, done: Done) -> None:
        super().__init__(links)
        for stream, ranges in done.items():
            state = self._stream(stream)
            for first, last in ranges:
                state.gaps.add(first, last)
            self._advance(state, [])

    def _advance(self, stream: _Stream[Item], released: list[tuple[int, Item]]) -> None:
        open_links, self.open = self.open, self.open or set()
        if open_links:
            # A link that has passed nothing keeps all others from being taken to have passed.
            stream.last[-1] = -1
            self.open = {*open_links, -1}
        try:
            super()._advance(stream, released)
        finally:
            self.open = open_links
            stream.last.pop(-1, None)


class PatientJoin(Join[Item]):
    """`Join` in which a partner is missing only if a gap says so, or its port has ended."""

    def __init__(self, ports: Iterable[str]) -> None:
        super().__init__(ports)

    def push(self, port: str, key: Key, item: Item) -> tuple[dict[str, Item] | None, list[Item], list[Gap]]:
        """Take a frame."""
        stream, seq = key
        for passed in self._passed.values():
            passed[stream] = -1
        self._passed[port][stream] = seq - 1  # as if all before it had come
        try:
            return super().push(port, key, item)
        finally:
            for passed in self._passed.values():
                passed[stream] = -1
